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

// A child that is stopped by a signal is replaced within HangTimeout.
func TestStoppedChildIsReplaced(t *testing.T) {
	t.Parallel()
	a := run(t, role{MaxProcesses: 1, HangTimeout: time.Second})
	pid := a.pid("/")
	began := time.Now()
	signalTo(t, pid, syscall.SIGSTOP)
	awaitState(t, pid, 'T')
	if next := a.pid("/"); next == pid {
		t.Error("the stopped child answered")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the replacement took %v", took)
	}
	a.awaitLog(1, "child died", map[string]any{"pid": pid, "why": "it stopped reporting", "cause": "signal: killed"})
	a.end()
}

// A child whose scheduler is stuck is replaced, and the log has its stacks.
func TestSpinningChildIsReplaced(t *testing.T) {
	t.Parallel()
	a := run(t, role{MaxProcesses: 1, HangTimeout: time.Second}, "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	pid := a.pid("/")
	if _, err := a.get("/spin"); err == nil {
		t.Error("the request was answered")
	}
	a.awaitLog(1, "child died", map[string]any{"pid": pid, "why": "it stopped reporting", "cause": "exit status 2"})
	a.awaitNoise("SIGQUIT: quit")
	a.awaitNoise("newTestHandler") // waiting goroutines; running ones need GOTRACEBACK=crash
	if next := a.pid("/"); next == pid {
		t.Error("the child was not replaced")
	}
	a.end()
}

// The parent itself may have been stopped. It then judges a child not by the past silence,
// but by whether the child reports after the parent has continued.
func TestStoppedParentKillsNoChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fakeParent(1, 0)
		p.HangTimeout = time.Second
		p.events, p.over = make(chan func()), make(chan struct{})
		defer close(p.over)
		c := p.children[0]
		c.Process, _ = os.FindProcess(1 << 30) // no such process
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
		p.hear(c, report{}) // it waited in the pipe, and is read before the parent checks the time
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

// When its abandoned handlers reach MaxAbandoned, a child ends once another serves, and the
// log has the handlers' stacks.
func TestChildWithAbandonedHandlersIsReplaced(t *testing.T) {
	t.Parallel()
	a := run(t, role{MaxProcesses: 1, MaxWorkers: 2, MaxAbandoned: 1, RequestTimeout: 50 * time.Millisecond})
	pid := a.pid("/")
	if _, err := a.get("/stuck"); err == nil {
		t.Error("the request was answered")
	}
	a.awaitLog(1, "stopping child", map[string]any{"pid": pid, "why": "its abandoned handlers reached MaxAbandoned: 1"})
	a.awaitLog(1, "child died", map[string]any{"pid": pid, "cause": "exit status 2"})
	a.awaitNoise("newTestHandler")
	if next := a.pid("/"); next == pid {
		t.Error("the child was not replaced")
	}
	a.end()
}

// awaitNoise waits for a line on standard error that is not a log line.
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

// However the parent dies, its children are gone a second later.
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
		t.Error("the children lived for more than a second")
	}
}
