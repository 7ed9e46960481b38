//go:build linux

package deploy_test

// systemd_test.go tests the systemd units. systemd-analyze checks what it can
// without a running systemd. For the rest, the test plays systemd's part, with the
// values in the units.

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/internal/webserver"
)

const (
	service = "systemd/app.service"
	socket  = "systemd/app.socket"
)

func TestUnitsVerify(t *testing.T) {
	verifyUnits(t, service, socket)
	verifyUnits(t, gitService, gitSocket)
}

// verifyUnits has systemd-analyze verify a service and its socket, in a root folder
// that contains the programs they name.
func verifyUnits(t *testing.T, service, socket string) {
	t.Helper()
	analyze := webserver.NeedProgram(t, "systemd", "systemd-analyze")
	root := t.TempDir()
	units := filepath.Join(root, "etc/systemd/system")
	for _, dir := range []string{"/usr/lib/systemd/system", "/lib/systemd/system"} {
		if os.CopyFS(filepath.Join(root, dir), os.DirFS(dir)) == nil {
			break
		}
	}
	if err := os.MkdirAll(units, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, command := range regexp.MustCompile(`(?m)^Exec\w+=(\S+)`).FindAllStringSubmatch(readFile(t, service), -1) {
		program := filepath.Join(root, command[1])
		if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(program, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"verify", "--root=" + root, "--man=no", "--recursive-errors=no"}
	for _, unit := range []string{service, socket} {
		path := filepath.Join(units, filepath.Base(unit))
		if err := os.WriteFile(path, []byte(readFile(t, unit)), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, filepath.Base(unit))
	}
	if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// exposure is the highest exposure level that systemd-analyze may report, times
// ten.
const exposure = 5

func TestUnitSecurity(t *testing.T) {
	analyze := webserver.NeedProgram(t, "systemd", "systemd-analyze")
	review := func(unit string, threshold int) ([]byte, error) {
		return exec.Command(analyze, "security", "--no-pager", "--offline=yes",
			fmt.Sprint("--threshold=", threshold), unit).CombinedOutput()
	}
	for _, unit := range []string{service, gitService} {
		if out, err := review(unit, exposure); err != nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
	if _, err := review(service, 0); err == nil {
		t.Error("systemd-analyze ignores the threshold")
	}
}

// value returns the value of a key that a unit must have exactly once.
func value(t *testing.T, unit, key string) string {
	t.Helper()
	var found []string
	for line := range strings.Lines(readFile(t, unit)) {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			found = append(found, strings.TrimSpace(v))
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d lines with %s, want 1", unit, len(found), key)
	}
	return found[0]
}

// supervisor plays the part of systemd.
type supervisor struct {
	socket *os.File
	path   string
	notify *net.UnixConn
}

func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	dir := webserver.TempDir(t)
	s := &supervisor{path: filepath.Join(dir, filepath.Base(value(t, socket, "ListenStream")))}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if s.socket, err = l.File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.socket.Close() })
	addr := &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"}
	if s.notify, err = net.ListenUnixgram("unixgram", addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.notify.Close() })
	return s
}

// command returns the service's start command, with app as its program.
func (s *supervisor) command(t *testing.T, app string) *exec.Cmd {
	t.Helper()
	watchdog, err := time.ParseDuration(value(t, service, "WatchdogSec"))
	if err != nil {
		t.Fatal(err)
	}
	// systemd sets LISTEN_PID between fork and exec; so does the shell.
	args := append([]string{"-c", `export LISTEN_PID=$$; exec "$@"`, "sh", app},
		strings.Fields(value(t, service, "ExecStart"))[1:]...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env = []string{
		"LISTEN_FDS=1", "LISTEN_FDNAMES=" + filepath.Base(socket),
		"NOTIFY_SOCKET=" + s.notify.LocalAddr().String(),
		"WATCHDOG_USEC=" + strconv.FormatInt(watchdog.Microseconds(), 10),
	}
	cmd.ExtraFiles = []*os.File{s.socket}
	return cmd
}

func (s *supervisor) expect(t *testing.T, want string) {
	t.Helper()
	if got := s.next(t); got != want {
		t.Errorf("systemd was told %q, want %q", got, want)
	}
}

func (s *supervisor) next(t *testing.T) string {
	t.Helper()
	if err := s.notify.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := s.notify.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// expectReload reads the notifications of a reload.
func (s *supervisor) expectReload(t *testing.T) {
	t.Helper()
	if got := s.next(t); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("systemd was told %q", got)
	}
	s.expect(t, "READY=1")
}

// A request that arrives during a restart waits in the socket.
func TestUnitRestart(t *testing.T) {
	app := buildApp(t)
	s := newSupervisor(t)
	for range 2 {
		type answer struct {
			seen
			err error
		}
		waiting := make(chan answer, 1)
		go func() {
			got, err := askSocket(s.path)
			waiting <- answer{got, err}
		}()
		p := startApp(t, s.command(t, app))
		if got := <-waiting; got.err != nil || got.Parent != p.cmd.Process.Pid {
			t.Errorf("a child of process %d answered, %v; want %d", got.Parent, got.err, p.cmd.Process.Pid)
		}
		s.expect(t, "READY=1")
		s.expect(t, "WATCHDOG=1")
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Error(err)
		}
		s.expectReload(t)
		err := p.end(t, syscall.SIGTERM)
		s.expect(t, "STOPPING=1")
		if err != nil {
			t.Error(err)
		}
	}
}
