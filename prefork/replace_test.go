//go:build unix

package prefork

// replace_test.go tests that dead children are replaced. Real processes die.

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestChildrenServe(t *testing.T) {
	a := run(t, role{MaxProcesses: 2, MinProcesses: 2})
	pid := a.pid("/")
	if pid == a.cmd.Process.Pid {
		t.Error("the parent answered")
	}
	if n := len(a.children()); n != 2 {
		t.Errorf("%d children", n)
	}
	a.end()
	if path := strings.TrimPrefix(a.addr, "unix:"); exists(path) {
		t.Error("the socket's file is left")
	}
}

// Whatever kills a child, another one replaces it.
func TestDeadChildIsReplaced(t *testing.T) {
	for _, test := range []struct{ path, cause string }{
		{"/exit/0", "exit status 0"},
		{"/exit/3", "exit status 3"},
		{"/overflow", "exit status 2"},
		{"/race", "exit status 2"},
	} {
		t.Run(test.path[1:], func(t *testing.T) {
			t.Parallel()
			a := run(t, role{MaxProcesses: 1})
			before := a.pid("/")
			if _, err := a.get(test.path); err == nil {
				t.Error("the request was answered")
			}
			if after := a.pid("/"); after == before {
				t.Error("the same child answered")
			}
			a.awaitLog(1, "child died", map[string]any{"cause": test.cause, "pid": before})
			a.end()
		})
	}
}

func TestKilledChildIsReplaced(t *testing.T) {
	a := run(t, role{MaxProcesses: 1})
	pid := a.pid("/")
	signalTo(t, pid, syscall.SIGKILL)
	if next := a.pid("/"); next == pid {
		t.Error("the dead child answered")
	}
	a.awaitLog(1, "child died", map[string]any{"cause": "signal: killed", "pid": pid})
	a.end()
}

// When a child dies, only its own requests are lost.
func TestSiblingsKeepServing(t *testing.T) {
	a := run(t, role{MaxProcesses: 2, MinProcesses: 2, MaxWorkers: 1})
	first, firstAnswered := a.held()
	second, secondAnswered := a.held()
	if first == second {
		t.Fatal("one child has both requests")
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := a.get("/")
		waiting <- err
	}()
	signalTo(t, first, syscall.SIGKILL)
	if err := <-firstAnswered; err == nil {
		t.Error("the dead child answered")
	}
	if err := <-waiting; err != nil {
		t.Errorf("the request in the socket: %v", err)
	}
	a.release(second)
	if err := <-secondAnswered; err != nil {
		t.Errorf("the sibling: %v", err)
	}
	a.end()
}

// A dead child's own processes do not stay behind. On Linux that holds even if the child
// leads a process group of its own.
func TestDeadChildLeavesNothing(t *testing.T) {
	a := run(t, role{MaxProcesses: 1})
	started := []int{a.pid("/start")}
	if runtime.GOOS == "linux" {
		started = append(started, a.pid("/start/group"))
	}
	_, _ = a.get("/exit/1")
	for _, pid := range started {
		awaitGone(t, pid)
	}
	a.end()
}

// If the first children can't come up, the program ends with their exit status.
func TestFailureOfFirstChildrenEndsProgram(t *testing.T) {
	fail := filepath.Join(tempDir(t), "fail")
	makeFile(t, fail)
	a := launch(t, role{MaxProcesses: 4, MinProcesses: 2, Fail: fail}, nil)
	var exit *exec.ExitError
	if err := a.wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("the parent ended with %v", err)
	}
}

// Later the parent retries children that can't come up, after ever longer pauses.
func TestRetriesWithGrowingPause(t *testing.T) {
	t.Parallel()
	fail := filepath.Join(tempDir(t), "fail")
	a := run(t, role{MaxProcesses: 1, Fail: fail})
	makeFile(t, fail)
	signalTo(t, a.pid("/"), syscall.SIGKILL)
	for i, pause := range []time.Duration{100, 200, 400} {
		a.awaitLog(1, "child failed to start; retrying",
			map[string]any{"level": "ERROR", "in": float64(pause * time.Millisecond), "failures": i + 1, "serving": 0})
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := a.get("/")
		waiting <- err
	}()
	_ = os.Remove(fail)
	if err := <-waiting; err != nil {
		t.Errorf("the request in the socket: %v", err)
	}
	a.end()
}

func TestRetryPauseGrows(t *testing.T) {
	var p pause
	for i, want := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		if got := p.grow(); got != want {
			t.Errorf("pause %d is %v", i, got)
		}
	}
	for range 100 {
		p.grow()
	}
	if got := p.grow(); got != maxPause {
		t.Errorf("after many failures it is %v", got)
	}
}

// The parent does not wait for a child that never calls Run.
func TestStartTimeoutKillsChild(t *testing.T) {
	slow := filepath.Join(tempDir(t), "slow")
	a := run(t, role{MaxProcesses: 1, StartTimeout: 3 * time.Second, Slow: slow})
	makeFile(t, slow)
	signalTo(t, a.pid("/"), syscall.SIGKILL)
	a.awaitLog(1, "child died", map[string]any{"why": errNotReady.Error()})
	_ = os.Remove(slow)
	a.pid("/")
	a.end()
}
