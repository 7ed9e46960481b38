//go:build unix

package prefork

// end_test.go tests how the program shuts down.

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endsInOrder checks that a running request, and one that waits in the socket, are answered
// after stop.
func endsInOrder(t *testing.T, r role, stop func(*app)) {
	s := newSystemd(t)
	a := run(t, r, s.env()...)
	pid, answered := a.held()
	waiting := a.queue("/")
	stop(a)
	s.expect("READY=1")
	s.expect("STOPPING=1")
	a.release(pid)
	if err := <-answered; err != nil {
		t.Errorf("the running request: %v", err)
	}
	if text := waiting(); !strings.HasPrefix(text, "Status: 200") {
		t.Errorf("the request in the socket: %q", text)
	}
	if err := a.wait(); err != nil {
		t.Error(err)
	}
}

func TestShutdownAnswersRequests(t *testing.T) {
	for name, stop := range map[string]func(*app){
		"SIGTERM": func(a *app) { a.signal(syscall.SIGTERM) },
		"SIGINT":  func(a *app) { a.signal(syscall.SIGINT) },
		"Ctrl-C":  func(a *app) { signalTo(a.t, -a.cmd.Process.Pid, syscall.SIGINT) },
		"systemd": func(a *app) { // signals every process of the control group
			for _, pid := range append(a.children(), a.cmd.Process.Pid) {
				signalTo(a.t, pid, syscall.SIGTERM)
			}
		},
	} {
		for _, addr := range []string{"", "127.0.0.1:0"} {
			t.Run(name+addr, func(t *testing.T) {
				t.Parallel()
				endsInOrder(t, role{MaxProcesses: 1, MaxWorkers: 1, Addr: addr}, stop)
				endsInOrder(t, role{MaxWorkers: 1, Addr: addr}, stop)
			})
		}
	}
}

// After its context ends, the program treats the next signal as the first: the same signal
// may have ended the context.
func TestFirstSignalAfterContextDoesNotKill(t *testing.T) {
	for _, processes := range []int{0, 1} {
		s := newSystemd(t)
		a := run(t, role{MaxProcesses: processes, Usr2: true}, s.env()...)
		pid, answered := a.held()
		a.signal(syscall.SIGUSR2)
		s.expect("READY=1")
		s.expect("STOPPING=1")
		a.signal(syscall.SIGTERM)
		if processes == 1 {
			a.awaitLog(1, "ending", nil)
		}
		a.release(pid)
		if err := <-answered; err != nil {
			t.Error(err)
		}
		if err := a.wait(); err != nil {
			t.Error(err)
		}
	}
}

// A second signal kills the program.
func TestSecondSignalKills(t *testing.T) {
	for _, processes := range []int{0, 1} {
		s := newSystemd(t)
		a := run(t, role{MaxProcesses: processes}, s.env()...)
		pid, answered := a.held()
		a.signal(syscall.SIGTERM)
		s.expect("READY=1")
		s.expect("STOPPING=1")
		a.signal(syscall.SIGTERM)
		if err := <-answered; err == nil {
			t.Error("the request was answered")
		}
		if processes == 0 {
			a.release(pid)
		}
		if err := a.wait(); err == nil {
			t.Error("the program exited with status 0")
		}
	}
}

// A request that takes longer than ShutdownTimeout is cut.
func TestShutdownTimeoutCutsRequests(t *testing.T) {
	for _, processes := range []int{0, 1} {
		a := run(t, role{MaxProcesses: processes, ShutdownTimeout: 100 * time.Millisecond})
		pid, answered := a.held()
		a.signal(syscall.SIGTERM)
		if err := <-answered; err == nil {
			t.Error("the request was answered")
		}
		a.awaitLog(1, "cut requests that did not finish in time", map[string]any{"pid": pid})
		_ = syscall.Kill(pid, syscall.SIGUSR1) // the child may have exited already
		if err := a.wait(); err != nil {
			t.Error(err)
		}
	}
}

// A child that still does not exit is killed.
func TestShutdownKillsStoppedChild(t *testing.T) {
	t.Parallel()
	a := run(t, role{MaxProcesses: 1, ShutdownTimeout: 100 * time.Millisecond})
	pid := a.pid("/")
	signalTo(t, pid, syscall.SIGSTOP)
	a.signal(syscall.SIGTERM)
	if err := a.wait(); err != nil {
		t.Error(err)
	}
	a.awaitLog(1, "child died", map[string]any{"pid": pid, "why": "it did not exit in time"})
}

// Shutdown kills a child that has not come up yet, and does not report that as a death.
func TestShutdownKillsStartingChild(t *testing.T) {
	slow := filepath.Join(tempDir(t), "slow")
	a := run(t, role{MaxProcesses: 1, Slow: slow})
	makeFile(t, slow)
	a.signal(syscall.SIGHUP)
	poll(t, "a second child", func() bool { return len(a.children()) == 2 })
	a.end()
	a.awaitLog(1, "child exited", map[string]any{"cause": "signal: killed", "why": "the program is stopping"})
}

// A child that comes up during the shutdown shuts down in order: it may have taken a
// request before its parent learned that it serves.
func TestShutdownOfChildThatComesUp(t *testing.T) {
	slow := filepath.Join(tempDir(t), "slow")
	a := run(t, role{MaxProcesses: 1, Slow: slow})
	makeFile(t, slow)
	a.signal(syscall.SIGHUP)
	poll(t, "a second child", func() bool { return len(a.children()) == 2 })
	a.signal(syscall.SIGTERM)
	a.awaitLog(1, "ending", nil)
	_ = os.Remove(slow)
	if err := a.wait(); err != nil {
		t.Error(err)
	}
	a.awaitLog(2, "child exited", map[string]any{"cause": "exit status 0", "why": "the program is stopping"})
}
