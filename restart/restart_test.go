//go:build unix

package restart

// restart_test.go owns the tests of a hand-over from this process to a new one.
// Rule: what was there before a hand-over that fails is there after it.

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/gateway"
)

// socketPath is short enough for a socket's name.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "scgi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "app.sock")
}

func listen(t *testing.T, h *Handover, addr string) net.Listener {
	t.Helper()
	l, err := h.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// output gives new processes a standard output that the test reads, by line.
func output(t *testing.T) *bufio.Reader {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	t.Cleanup(func() {
		os.Stdout = stdout
		w.Close()
		r.Close()
	})
	return bufio.NewReader(r)
}

// await reads what a process says, which must be want, and returns its id.
func await(t *testing.T, out *bufio.Reader, want string) (pid int) {
	t.Helper()
	line, err := out.ReadString('\n')
	word, number, _ := strings.Cut(strings.TrimSpace(line), " ")
	pid, numErr := strconv.Atoi(number)
	if err != nil || numErr != nil || word != want {
		t.Fatalf("a process says %q, %v; want %s", line, err, want)
	}
	return pid
}

// terminate ends a process that was handed over to; it must end well.
func terminate(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	_, err := syscall.Wait4(pid, &status, 0, nil)
	for err == syscall.EINTR {
		_, err = syscall.Wait4(pid, &status, 0, nil)
	}
	if err != nil || status != 0 {
		t.Fatalf("process %d ended with %v, %v", pid, status, err)
	}
}

// ask returns the id of the process that answers at addr.
func ask(addr net.Addr) (pid int, err error) {
	transport := &gateway.Transport{Addr: addr.String()}
	if addr.Network() == "unix" {
		transport.Addr = "unix:" + transport.Addr
	}
	client := http.Client{Transport: transport, Timeout: patience}
	resp, err := client.Get("http://restart.test/")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(body))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// What waits in the sockets is answered by the new process, whose they are then.
func TestUpgrade(t *testing.T) {
	out := output(t)
	path, dropped := socketPath(t), socketPath(t)
	addrs := []string{"127.0.0.1:0", "unix:" + path + "?mode=0600"}
	var h Handover
	ls := []net.Listener{listen(t, &h, addrs[0]), listen(t, &h, addrs[1])}
	notTaken := []net.Listener{listen(t, &h, "unix:"+dropped), listen(t, &h, "localhost:0")}

	pids := make(chan int, len(ls))
	for _, l := range ls {
		go func() {
			pid, err := ask(l.Addr())
			if err != nil {
				t.Errorf("%v: %v", l.Addr(), err)
			}
			pids <- pid
		}()
	}
	t.Setenv(roleEnv, "app "+strings.Join(addrs, " "))
	if err := h.Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := await(t, out, "ready")
	for _, l := range append(notTaken, ls...) {
		l.Close()
	}
	for range ls {
		if pid := <-pids; pid != next {
			t.Errorf("answered by %d, want %d", pid, next)
		}
	}
	if !exists(path) || exists(dropped) {
		t.Errorf("the file that was taken is there: %v, the other: %v", exists(path), exists(dropped))
	}
	if _, err := ask(notTaken[1].Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the socket that was not taken: got %v, want %v", err, syscall.ECONNREFUSED)
	}
	if err := h.Upgrade(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Upgrade again: got %v, want %v", err, net.ErrClosed)
	}
	if _, err := h.Listen(addrs[0]); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Listen: got %v, want %v", err, net.ErrClosed)
	}
	terminate(t, next)
	if exists(path) {
		t.Error("the new process has left its file behind")
	}
}

func TestUpgradeFails(t *testing.T) {
	tests := []struct {
		role    string
		timeout time.Duration
		want    func(error) bool
	}{
		{"exit", -1, exitsWith(3)},
		{"mute", time.Millisecond, is(context.DeadlineExceeded)},
		{"mute mute", 0, exitsWith(-1)},
		{"early unix:$", 0, is(io.ErrUnexpectedEOF)},
		{"parent unix:$", 0, is(io.ErrUnexpectedEOF)},
		{"app unix:$?mode=0600", 0, exitsWith(1)}, // other options: another address
	}
	for _, test := range tests {
		t.Run(test.role, func(t *testing.T) {
			output(t)
			path := socketPath(t)
			h := Handover{Timeout: test.timeout}
			l := listen(t, &h, "unix:"+path)
			listen(t, &h, "127.0.0.1:0")
			t.Setenv(roleEnv, strings.Replace(test.role, "$", path, 1))
			if err := h.Upgrade(t.Context()); !test.want(err) {
				t.Errorf("got %v", err)
			}
			h.Timeout = 0
			checkUnchanged(t, &h, l)
		})
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// exitsWith tells the error of a process that ended so; -1 is by a signal.
func exitsWith(code int) func(error) bool {
	return func(err error) bool {
		var exit *exec.ExitError
		return errors.As(err, &exit) && exit.ExitCode() == code
	}
}

// checkUnchanged hands l over after all, and takes it to its end.
func checkUnchanged(t *testing.T, h *Handover, l net.Listener) {
	t.Helper()
	out := output(t) // nothing that an earlier process said
	t.Setenv(roleEnv, "app unix:"+l.Addr().String())
	if err := h.Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	terminate(t, await(t, out, "ready"))
}

func TestUpgradeCancelled(t *testing.T) {
	out := output(t)
	var h Handover
	l := listen(t, &h, "unix:"+socketPath(t))
	t.Setenv(roleEnv, "mute")
	reason := errors.New("the test's")
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- h.Upgrade(ctx) }()
	pid := await(t, out, "mute")
	cancel(reason)
	if err := <-failed; !errors.Is(err, reason) {
		t.Errorf("got %v, want %v", err, reason)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("the new process: got %v, want %v", err, syscall.ESRCH)
	}
	checkUnchanged(t, &h, l)
}

func TestUpgradeNoProgram(t *testing.T) {
	defer func(program string) { os.Args[0] = program }(os.Args[0])
	os.Args[0] = filepath.Join(t.TempDir(), "missing")
	var h Handover
	listen(t, &h, "127.0.0.1:0")
	if err := h.Upgrade(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
}

// A socket whose file someone else has replaced must not pass for its own.
func TestUpgradeReplaced(t *testing.T) {
	path := socketPath(t)
	var h Handover
	listen(t, &h, "unix:"+path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := h.Upgrade(t.Context()); !errors.Is(err, errReplaced) {
		t.Errorf("gone: got %v, want %v", err, errReplaced)
	}
	listen(t, new(Handover), "unix:"+path)
	if err := h.Upgrade(t.Context()); !errors.Is(err, errReplaced) {
		t.Errorf("another: got %v, want %v", err, errReplaced)
	}
}

// owned remembers whose it is said to be.
type owned struct {
	listener
	calls []bool
}

func (o *owned) SetInherited(inherited bool) { o.calls = append(o.calls, inherited) }

// A supervisor's socket outlives this process, too.
func TestReadyOwns(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:4000": false, "unix:fd:0": false, "fd:0": true, "systemd:": true, "systemd:app": true,
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		o := new(owned)
		h := Handover{told: w, sockets: []*socket{{listener: o, addr: addr}}}
		if err := h.Ready(); err != nil {
			t.Error(err)
		}
		if len(o.calls) != 1 || o.calls[0] != want {
			t.Errorf("%s: got %v, want [%v]", addr, o.calls, want)
		}
		if line, err := io.ReadAll(r); err != nil || len(split(string(line))) != 1 || split(string(line))[0] != addr {
			t.Errorf("%s: said %q, %v", addr, line, err)
		}
	}
}

// An old process that has ended can't be told, and need not be.
func TestReadyAlone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	o := new(owned)
	h := Handover{told: w, sockets: []*socket{{listener: o, addr: "127.0.0.1:4000"}}}
	if err := h.Ready(); err != nil || len(o.calls) != 1 {
		t.Errorf("got %v, and %v", err, o.calls)
	}
}

func TestJoin(t *testing.T) {
	addrs := []string{"127.0.0.1:4000", "unix:/a b/%20+?mode=0600&group=x", "unix:/new\nline\xff", "systemd:"}
	line := join(addrs)
	if got := split(line + "\n"); strings.Join(got, "\x00") != strings.Join(addrs, "\x00") {
		t.Errorf("got %q of %q", got, line)
	}
	if strings.Contains(line, "\n") || len(split(join(nil))) != 0 {
		t.Errorf("%q, %q", line, join(nil))
	}
}
