//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// systemd_test.go tests socket activation, in parts with sockets that the tests open,
// and as a whole with systemd-socket-activate.

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestParseActivation(t *testing.T) {
	tests := []struct {
		pid, fds, names string
		want            string // number and name of each socket
	}{
		{"7", "1", "", "3 unknown"},
		{"7", "2", "", "3 unknown, 4 unknown"},
		{"7", "2", "app:admin", "3 app, 4 admin"},
		{"7", "3", "app:app:", "3 app, 4 app, 5 "},
		{"", "", "", "error"},
		{"", "1", "", "error"},
		{"7", "", "", "error"},
		{"8", "1", "", "error"},
		{"07", "1", "", "error"},
		{"7", "0", "", "error"},
		{"7", "-1", "", "error"},
		{"7", "+1", "", "error"},
		{"7", "65537", "", "error"},
		{"7", "99999999999999999999", "", "error"},
		{"7", "2", "app", "error"},
		{"7", "1", "app:admin", "error"},
	}
	for _, test := range tests {
		a, err := parseActivation(test.pid, test.fds, test.names, 7)
		got := "error"
		if err == nil {
			got = describe(a)
		} else if !errors.Is(err, errNotActivated) {
			t.Errorf("%v: %v is not errNotActivated", test, err)
		}
		if got != test.want {
			t.Errorf("%v: got %s", test, got)
		}
	}
}

func describe(a *activation) string {
	var sockets []string
	for _, s := range a.sockets {
		sockets = append(sockets, strconv.Itoa(s.fd)+" "+s.name)
	}
	return strings.Join(sockets, ", ")
}

// passed returns an activation with one new socket for each name, and the sockets'
// paths.
func passed(t *testing.T, names ...string) (*activation, []string) {
	t.Helper()
	a := new(activation)
	var paths []string
	for _, name := range names {
		path := tempSocket(t)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		fd, err := syscall.Dup(int(fileOf(t, l).Fd())) // take closes it
		if err != nil {
			t.Fatal(err)
		}
		syscall.CloseOnExec(fd)
		s := &passedSocket{fd: fd, name: name}
		t.Cleanup(func() {
			if !s.taken {
				syscall.Close(fd)
			}
		})
		a.sockets = append(a.sockets, s)
		paths = append(paths, path)
	}
	return a, paths
}

func TestTake(t *testing.T) {
	a, paths := passed(t, "app", "admin", "app")
	steps := []struct {
		name string
		want []string
		err  error
	}{
		{"other", nil, errSocketUnknown},
		{"app", []string{paths[0], paths[2]}, nil},
		{"app", nil, errSocketTaken},
		{"", nil, errSocketTaken},
		{"admin", []string{paths[1]}, nil},
		{"admin", nil, errSocketTaken},
	}
	for _, step := range steps {
		ls, err := a.take(step.name)
		defer closeAll(ls)
		if !errors.Is(err, step.err) || !slices.Equal(addrs(ls), step.want) {
			t.Errorf("%q: got %q, %v; want %q, %v", step.name, addrs(ls), err, step.want, step.err)
		}
	}
}

func TestTakeAll(t *testing.T) {
	a, paths := passed(t, "app", "admin")
	ls, err := a.take("")
	defer closeAll(ls)
	if err != nil || !slices.Equal(addrs(ls), paths) {
		t.Errorf("got %q, %v; want %q", addrs(ls), err, paths)
	}
	for _, s := range a.sockets {
		if l, err := inheritFD(s.fd); err == nil {
			l.Close()
			t.Errorf("file descriptor %d is still open", s.fd)
		}
	}
}

func TestListenSeveral(t *testing.T) {
	a, _ := passed(t, "app", "admin", "app")
	defer func(real func() (*activation, error)) { activated = real }(activated)
	activated = func() (*activation, error) { return a, nil }
	if _, err := One("systemd:app"); !errors.Is(err, errAddrSeveral) {
		t.Errorf("two sockets: got %v, want %v", err, errAddrSeveral)
	}
	l, err := One("systemd:admin")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func addrs(ls []*Listener) []string {
	var all []string
	for _, l := range ls {
		all = append(all, l.Addr().String())
	}
	return all
}

// If take can't open one of the sockets, the others can still be taken.
func TestTakeOpensAllOrNone(t *testing.T) {
	a, paths := passed(t, "app")
	a.sockets = append(a.sockets, &passedSocket{fd: int(notListening(t)["pipe"].Fd()), name: "pipe"})
	if _, err := a.take(""); !errors.Is(err, errNotListening) {
		t.Errorf("got %v, want %v", err, errNotListening)
	}
	ls, err := a.take("app")
	defer closeAll(ls)
	if err != nil || !slices.Equal(addrs(ls), paths) {
		t.Errorf("got %q, %v; want %q", addrs(ls), err, paths)
	}
}

// This process was not started by socket activation.
func TestListenNotActivated(t *testing.T) {
	for _, addr := range []string{"systemd:", "systemd:app"} {
		if _, err := One(addr); !errors.Is(err, errNotActivated) {
			t.Errorf("%q: got %v, want %v", addr, err, errNotActivated)
		}
	}
}

func TestSystemdSocketActivate(t *testing.T) {
	tests := []struct {
		names string
		addrs string
		want  []string // the line that a peer of each socket reads
	}{
		{"app:admin", "systemd:admin systemd:app", []string{"systemd:app", "systemd:admin"}},
		{"app:app", "systemd:app", []string{"systemd:app", "systemd:app"}},
		{"app:admin:app", "systemd:app systemd:admin", []string{"systemd:app", "systemd:admin", "systemd:app"}},
		{"app:admin", "systemd:", []string{"systemd:", "systemd:"}},
		{"", "systemd:", []string{"systemd:"}},
		{"", "systemd:unknown", []string{"systemd:unknown"}},
	}
	for _, test := range tests {
		t.Run(test.names+" "+test.addrs, func(t *testing.T) {
			got := activate(t, test.names, test.addrs, len(test.want))
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// activate makes systemd-socket-activate open n sockets with the given names and pass
// them to this program, which listens on addrs. It returns the line read from each
// socket.
func activate(t *testing.T, names, addrs string, n int) []string {
	t.Helper()
	var args, paths []string
	for range n {
		path := tempSocket(t)
		paths = append(paths, path)
		args = append(args, "-l", path)
	}
	if names != "" {
		args = append(args, "--fdname="+names)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, "-E", childEnv, "-E", "GORACE", exe)
	cmd := child(t, addrs, systemdSocketActivate(t), args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = slices.DeleteFunc(cmd.Env, isActivation)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	output := bufio.NewScanner(stderr)
	for opened := 0; opened < n && output.Scan(); {
		if strings.HasPrefix(output.Text(), "Listening on ") {
			opened++
		}
	}
	lines := make([]string, n)
	var peers sync.WaitGroup
	for i, path := range paths {
		peers.Go(func() { lines[i] = receive("unix", path) })
	}
	peers.Wait()
	for output.Scan() {
		t.Log(output.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	return lines
}

func isActivation(variable string) bool { return strings.HasPrefix(variable, "LISTEN_") }

func systemdSocketActivate(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-socket-activate")
	switch {
	case err != nil && os.Getenv("SCGI_INTEROP") == "1":
		t.Fatal(err)
	case err != nil:
		t.Skipf("%v; it is part of systemd (SCGI_INTEROP=1 makes this a failure)", err)
	}
	return path
}
