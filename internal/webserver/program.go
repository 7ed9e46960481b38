package webserver

// program.go finds the web servers' programs: the system's, or others unpacked into a
// folder. One run of the tests takes all of them from one place, and asks each for its
// version.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// rootVar names a folder into which "dpkg -x" has unpacked web servers and the libraries
// they need. The tests run these instead of the system's.
const rootVar = "SCGI_WEBSERVERS"

// root is "" for the system's own web servers.
func root() string { return strings.TrimSuffix(os.Getenv(rootVar), "/") }

// Need skips or fails the test if the web server is not installed.
func Need(t testing.TB, kind Kind) {
	t.Helper()
	kind.find(t)
}

func (k Kind) find(t testing.TB) (program string) {
	t.Helper()
	s := setups[k]
	if root() == "" {
		return NeedProgram(t, s.pkg, s.programs...)
	}
	for _, name := range s.programs {
		if path, err := exec.LookPath(filepath.Join(root(), "usr/sbin", name)); err == nil {
			return path
		}
	}
	missing(t, fmt.Sprintf("%s is not in %s=%s", s.programs[0], rootVar, root()))
	return ""
}

// command returns a command that runs the web server. It starts an unpacked program with the
// loader and libraries that the program was built for, which may be newer than the system's.
// The program's own children get the system's.
func (k Kind) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	program := k.find(t)
	loader := firstOf(root()+"/usr/lib*/ld-linux*.so.*", root()+"/lib*/ld-linux*.so.*")
	if root() == "" || loader == "" {
		return exec.Command(program, args...)
	}
	libraries, _ := filepath.Glob(root() + "/usr/lib/*-linux-gnu*")
	more, _ := filepath.Glob(root() + "/lib/*-linux-gnu*")
	path := strings.Join(append(libraries, more...), ":")
	return exec.Command(loader, append([]string{"--library-path", path, program}, args...)...)
}

// firstOf returns the first file that matches one of the patterns, or "".
func firstOf(patterns ...string) string {
	for _, p := range patterns {
		if found, _ := filepath.Glob(p); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

// NeedProgram returns the path of the first installed program among names. If none is
// installed, it skips or fails the test with the name of Debian's package.
func NeedProgram(t testing.TB, pkg string, names ...string) (path string) {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		// Some users' PATH lacks /usr/sbin.
		if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
			return path
		}
	}
	missing(t, fmt.Sprintf("%s is not installed: apt-get install %s", names[0], pkg))
	return ""
}

// missing skips the test, or fails it if SCGI_INTEROP=1 says that every program must be
// installed.
func missing(t testing.TB, message string) {
	t.Helper()
	if os.Getenv("SCGI_INTEROP") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// Version is a web server's version. Compare versions with Before only.
type Version [3]int

var versionForm = regexp.MustCompile(`(\d+)\.(\d+)(?:\.(\d+))?`)

// ParseVersion returns the first version in text, such as "1.23" or "nginx/1.22.1", or the
// zero Version if there is none.
func ParseVersion(text string) (v Version) {
	m := versionForm.FindStringSubmatch(text)
	for i := range v {
		if m != nil {
			v[i], _ = strconv.Atoi(m[1+i])
		}
	}
	return v
}

// Before reports whether v is older than w.
func (v Version) Before(w Version) bool { return slices.Compare(v[:], w[:]) < 0 }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

var (
	versionsMu sync.Mutex
	versions   = map[Kind]Version{}
)

// VersionOf asks the web server's program for its version. It skips or fails the test if the
// web server is not installed.
func VersionOf(t testing.TB, kind Kind) Version {
	t.Helper()
	versionsMu.Lock()
	defer versionsMu.Unlock()
	if v, ok := versions[kind]; ok {
		return v
	}
	about, err := kind.command(t, "-v").CombinedOutput()
	v := ParseVersion(string(about))
	if err != nil || v == (Version{}) {
		t.Fatalf("%s -v: %v, %q", kind, err, about)
	}
	versions[kind] = v
	return v
}
