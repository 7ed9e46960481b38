//go:build unix

package prefork

// hang_test.go tests children that hang.

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A child that is stopped is replaced within its deadline.
func TestStoppedIsReplaced(t *testing.T) {
	t.Parallel()
	a := run(t, role{MaxProcesses: 1, HangTimeout: time.Second})
	pid := a.pid("/")
	began := time.Now()
	signalTo(t, pid, syscall.SIGSTOP)
	awaitState(t, pid, 'T')
	if next := a.pid("/"); next == pid {
		t.Error("the stopped child has answered")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	a.awaitLog(1, "child died", map[string]any{"pid": pid, "why": "it stopped reporting", "cause": "signal: killed"})
	a.end()
}

// A child whose scheduler is stuck is replaced, and its stacks are in the log.
func TestSpinningIsReplaced(t *testing.T) {
	t.Parallel()
	a := run(t, role{MaxProcesses: 1, HangTimeout: time.Second}, "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	pid := a.pid("/")
	if _, err := a.get("/spin"); err == nil {
		t.Error("there was an answer")
	}
	a.awaitLog(1, "child died", map[string]any{"pid": pid, "why": "it stopped reporting", "cause": "exit status 2"})
	a.awaitNoise("SIGQUIT: quit")
	a.awaitNoise("newTestHandler") // the goroutines that wait; GOTRACEBACK=crash shows running ones, too
	if next := a.pid("/"); next == pid {
		t.Error("it was not replaced")
	}
	a.end()
}

// The parent itself may be stopped for longer: no child is hung because of that, but
// because it does not answer the parent that goes on.
func TestStoppedParentKillsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fakeParent(1, 0)
		p.HangTimeout = time.Second
		p.events, p.over = make(chan func()), make(chan struct{})
		defer close(p.over)
		c := p.children[0]
		c.Process, _ = os.FindProcess(1 << 30) // there is none
		goOn := func() {
			for synctest.Wait(); ; synctest.Wait() {
				select {
				case event := <-p.events:
					event()
				default:
					return
				}
			}
		}
		p.hear(c, report{})
		time.Sleep(3 * p.HangTimeout)
		goOn()
		time.Sleep(p.silenceGrace())
		synctest.Wait()
		p.hear(c, report{}) // it was in the pipe, and is read before the time is looked at
		if goOn(); c.state != serving {
			t.Fatal("the child was killed")
		}
		time.Sleep(3 * p.HangTimeout)
		goOn()
		time.Sleep(p.silenceGrace())
		if goOn(); c.state != hung {
			t.Error("a child that does not answer was not killed")
		}
	})
}

// When abandoned handlers reach their bound, another child serves before this
// one ends, and the log has the handlers' stacks.
func TestStuckIsReplaced(t *testing.T) {
	t.Parallel()
	a := run(t, role{MaxProcesses: 1, MaxWorkers: 2, MaxAbandoned: 1, RequestTimeout: 50 * time.Millisecond})
	pid := a.pid("/")
	if _, err := a.get("/stuck"); err == nil {
		t.Error("there was an answer")
	}
	a.awaitLog(1, "stopping child", map[string]any{"pid": pid, "why": "its abandoned handlers reached MaxAbandoned: 1"})
	a.awaitLog(1, "child died", map[string]any{"pid": pid, "cause": "exit status 2"})
	a.awaitNoise("newTestHandler")
	if next := a.pid("/"); next == pid {
		t.Error("it was not replaced")
	}
	a.end()
}

// awaitNoise waits for a line that is no log line.
func (a *app) awaitNoise(part string) {
	a.t.Helper()
	a.await(part, func() bool {
		for _, line := range a.noise {
			if strings.Contains(line, part) {
				return true
			}
		}
		return false
	})
}

// However the parent dies, a second later no child is left.
func TestChildrenDieWithParent(t *testing.T) {
	a := run(t, role{MaxProcesses: 3, MinProcesses: 3})
	a.awaitLog(3, "child is serving", nil)
	checkOrphans(t, a)
}

func checkOrphans(t *testing.T, a *app) {
	t.Helper()
	pids := a.children()
	if len(pids) == 0 {
		t.Fatal("there are no children")
	}
	signalTo(t, pids[0], syscall.SIGSTOP)
	a.signal(syscall.SIGKILL)
	end := time.Now().Add(time.Second)
	for _, pid := range pids {
		awaitGone(t, pid)
	}
	if time.Now().After(end) {
		t.Error("it took more than a second")
	}
}
