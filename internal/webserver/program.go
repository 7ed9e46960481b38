package webserver

// program.go finds the programs: the system's own, or another generation of them. One
// run of the tests takes every web server from one place and asks each for its version.

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

// rootVar names a folder into which "dpkg -x" has unpacked web servers and the
// libraries they need. They are run in place of the system's.
const rootVar = "SCGI_WEBSERVERS"

// root is "" for the system's own web servers.
func root() string { return strings.TrimSuffix(os.Getenv(rootVar), "/") }

// Need ends the test if the web server is not installed.
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

// command is a run of the web server's program. An unpacked one is started by
// the loader and with the libraries that it was built for, which may be newer
// than the system's. What it starts in turn gets the system's.
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

// firstOf is the first file that matches one of patterns, or "".
func firstOf(patterns ...string) string {
	for _, p := range patterns {
		if found, _ := filepath.Glob(p); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

// NeedProgram returns the path of the first of these that is installed. If none
// is it ends the test, and names Debian's package.
func NeedProgram(t testing.TB, pkg string, names ...string) (path string) {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		// Not in every user's PATH.
		if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
			return path
		}
	}
	missing(t, fmt.Sprintf("%s is not installed: apt-get install %s", names[0], pkg))
	return ""
}

// missing skips the test, or fails it where SCGI_INTEROP=1 says that nothing
// may be missing.
func missing(t testing.TB, message string) {
	t.Helper()
	if os.Getenv("SCGI_INTEROP") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// Version is a web server's version. Versions compare as arrays do not: use
// Before.
type Version [3]int

var versionForm = regexp.MustCompile(`(\d+)\.(\d+)(?:\.(\d+))?`)

// ParseVersion returns the first version in text, such as "1.23" or
// "nginx/1.22.1". It is zero if there is none.
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

// VersionOf asks the web server's program for its version. It ends the test if
// the web server is not installed.
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
