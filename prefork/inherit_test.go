//go:build unix

package prefork

// inherit_test.go tests what a parent passes to its children.

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A program started by a handler inherits nothing of the parent's or systemd's.
func TestHandlersProgramInheritsNothing(t *testing.T) {
	s := newSystemd(t)
	a := run(t, role{MaxProcesses: 1, HTTPAddr: "127.0.0.1:0"}, s.env()...)
	text, err := a.get("/inherited")
	if err != nil {
		t.Fatal(err)
	}
	bad := regexp.MustCompile(variable + `=|NOTIFY_|WATCHDOG_|LISTEN_|socket:| ([3-9]|1[0-9]) -> (pipe|.*test)`)
	for line := range strings.Lines(text) {
		if bad.MatchString(line) {
			t.Errorf("the handler's program inherited %q", line)
		}
	}
	if !strings.Contains(text, roleVariable) || !strings.Contains(text, "/fd") {
		t.Errorf("the handler's program reported only %q", text)
	}
	a.end()
}

// ps and pkill show children under the program's name.
func TestChildHasProgramsName(t *testing.T) {
	a := run(t, role{MaxProcesses: 1})
	name, err := os.ReadFile("/proc/" + strconv.Itoa(a.pid("/")) + "/comm")
	if err != nil {
		t.Skip(err)
	}
	if want := filepath.Base(os.Args[0]); strings.TrimSpace(string(name)) != want[:min(len(want), 15)] {
		t.Errorf("the child is called %q", name)
	}
	a.end()
}

// A bad setting is reported in one line before any process starts.
func TestBadSettingsAreRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := "unix:" + filepath.Join(tempDir(t), "s")
	for _, test := range []struct {
		p    Program
		want error
	}{
		{Program{MaxProcesses: 2, MinProcesses: 3}, errMinimum},
		{Program{MaxProcesses: 2, MinProcesses: -1}, errNegative},
		{Program{MaxRequests: 1}, errChildless},
		{Program{MaxMemory: 1}, errChildless},
		{Program{MaxAge: 1}, errChildless},
		{Program{Addr: taken.Addr().String()}, syscall.EADDRINUSE},
		{Program{Addr: taken.Addr().String(), MaxProcesses: 1}, syscall.EADDRINUSE},
		{Program{Addr: free, HTTPAddr: taken.Addr().String()}, syscall.EADDRINUSE},
		{Program{Addr: free, HTTPAddr: taken.Addr().String(), MaxProcesses: 1}, syscall.EADDRINUSE},
	} {
		err := test.p.Run(t.Context())
		if !errors.Is(err, test.want) {
			t.Errorf("%+v: %v", test.p, err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is more than a line", err)
		}
	}
	if exists(strings.TrimPrefix(free, "unix:")) {
		t.Error("a socket was left open")
	}
}

// A supervisor's sockets are also passed to children, and kept for the program's next start.
func TestSupervisorsSockets(t *testing.T) {
	tcp, unix := supervised(t, "tcp", "127.0.0.1:0"), supervised(t, "unix", filepath.Join(tempDir(t), "s"))
	for _, r := range []role{{Addr: "systemd:"}, {Addr: "systemd:", MaxProcesses: 2}} {
		waiting := []func() string{queueAt(t, "tcp", tcp.addr, "/"), queueAt(t, "unix", unix.addr, "/")}
		a := launch(t, r, func(cmd *exec.Cmd) {
			// The shell sets LISTEN_PID between fork and exec, as systemd does.
			cmd.Args = append([]string{"sh", "-c", `export LISTEN_PID=$$; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
			cmd.Path = "/bin/sh"
			cmd.Env = append(cmd.Env, "LISTEN_FDS=2")
			cmd.ExtraFiles = []*os.File{tcp.file, unix.file}
		})
		a.awaitOut("ready")
		for _, answer := range waiting {
			if text := answer(); !strings.HasPrefix(text, "Status: 200") {
				t.Errorf("%+v: %q", r, text)
			}
		}
		a.end()
	}
	if !exists(unix.addr) {
		t.Error("the supervisor's socket file is gone")
	}
}

// lighttpd passes its socket as the standard input.
func TestStandardInputSocket(t *testing.T) {
	unix := supervised(t, "unix", filepath.Join(tempDir(t), "s"))
	for range 2 {
		waiting := queueAt(t, "unix", unix.addr, "/")
		a := launch(t, role{Addr: "fd:0", MaxProcesses: 1}, func(cmd *exec.Cmd) { cmd.Stdin = unix.file })
		if text := waiting(); !strings.HasPrefix(text, "Status: 200") {
			t.Errorf("%q", text)
		}
		a.end()
	}
}

type supervisedSocket struct {
	file *os.File
	addr string
}

func supervised(t *testing.T, network, addr string) supervisedSocket {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return supervisedSocket{f, l.Addr().String()}
}
