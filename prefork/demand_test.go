//go:build unix

package prefork

// demand_test.go tests how the number of children grows and shrinks.

import (
	"os"
	"testing"
	"time"

	"example.com/scgi"
)

// With one worker in each child, every request that finds no free worker starts a child, up
// to the maximum. Further requests wait where any child can take them.
func TestChildrenStartOnDemand(t *testing.T) {
	a := run(t, role{MaxProcesses: 4, MaxWorkers: 1})
	answered := make(map[int]<-chan error)
	for range 4 {
		pid, end := a.held()
		if answered[pid] != nil {
			t.Fatalf("process %d has two requests", pid)
		}
		answered[pid] = end
	}
	a.awaitLog(1, "all children are busy and MaxProcesses is reached", map[string]any{"children": 4})
	waiting := make(chan string, 1)
	go func() {
		text, _ := a.get("/")
		waiting <- text
	}()
	for pid, end := range answered {
		a.release(pid)
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
	if text := <-waiting; text == "" {
		t.Error("the fifth request was lost")
	}
	a.end()
}

// A waiting request goes to the first child with a free worker, whichever that is.
func TestQueuedRequestGoesToAnyChild(t *testing.T) {
	a := run(t, role{MaxProcesses: 2, MinProcesses: 2, MaxWorkers: 1})
	first, firstEnd := a.held()
	second, secondEnd := a.held()
	waiting := make(chan int, 1)
	go func() { waiting <- a.pid("/") }()
	a.release(second)
	if pid := <-waiting; pid != second {
		t.Errorf("process %d has answered, but %d was free", pid, second)
	}
	a.release(first)
	for _, end := range []<-chan error{firstEnd, secondEnd} {
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
	a.end()
}

// A child that has been idle for ten seconds exits, unless it is the last.
func TestIdleChildExits(t *testing.T) {
	t.Parallel()
	a := run(t, role{MaxProcesses: 2, MaxWorkers: 1})
	first, firstEnd := a.held()
	second, secondEnd := a.held()
	began := time.Now()
	a.release(first)
	a.release(second)
	<-firstEnd
	<-secondEnd
	a.awaitLog(1, "child exited", map[string]any{"why": "it was idle"})
	if took := time.Since(began); took < 8*time.Second {
		t.Errorf("the idle child exited after %v", took)
	}
	if n := len(a.children()); n != 1 {
		t.Errorf("%d children are left", n)
	}
	a.end()
}

// fakeParent returns a parent whose children are not processes. Each has open requests.
func fakeParent(workers int, open ...int) *parent {
	p := &parent{settings: &settings{}, want: len(open)}
	p.Server = &scgi.Server{MaxWorkers: workers}
	p.log = discard
	p.MinProcesses, p.MaxProcesses = 1, 8
	for _, n := range open {
		now := time.Now()
		c := &process{state: serving, heard: now, busy: now, commands: os.Stdin}
		c.report.Stats.Open = int64(n)
		c.report.Full = n >= workers
		p.children = append(p.children, c)
	}
	return p
}

func TestGrowthCountsBusyChildren(t *testing.T) {
	for _, test := range []struct {
		open []int
		want int
	}{
		{[]int{1}, 2},
		{[]int{1, 1, 1}, 4},
		{[]int{1, 0, 1}, 3},
		{[]int{1, 1, 1, 1, 1, 1, 1, 1}, 8},
	} {
		p := fakeParent(1, test.open...)
		p.crowded()
		for _, c := range p.children {
			c.heard = time.Now()
			p.answered()
		}
		if p.want != test.want {
			t.Errorf("%v busy: %d children are wanted, not %d", test.open, p.want, test.want)
		}
	}
}

// While the children do not suffice, each step starts twice as many as the one before.
func TestGrowthDoubles(t *testing.T) {
	p := fakeParent(1, 1)
	var wants []int
	for range 4 {
		p.grow()
		wants = append(wants, p.want)
	}
	if wants[0] != 2 || wants[1] != 4 || wants[2] != 8 || wants[3] != 8 {
		t.Errorf("%v children were wanted", wants)
	}
}

// The parent waits for the report of a child that it has asked. A child that has been
// silent for long counts as busy.
func TestGrowthWithSilentChild(t *testing.T) {
	p := fakeParent(1, 1, 0)
	p.crowded()
	p.children[0].heard = time.Now()
	if p.answered(); p.want != 2 {
		t.Error("the parent grew before all children had reported")
	}
	p.children[1].heard = time.Now().Add(-2 * staleTime)
	if p.answered(); p.want != 3 {
		t.Error("the parent did not count the silent child as busy")
	}
}

// needed returns how many children suffice for all open requests.
func TestNeededCountsSufficientChildren(t *testing.T) {
	spare := 0
	if !queuesAreKnown {
		spare = 1
	}
	for _, test := range []struct {
		workers int
		open    []int
		want    int
	}{
		{1, []int{0, 0, 0}, 0},
		{1, []int{1, 0, 1}, 2},
		{4, []int{1, 1, 1}, 1},
		{4, []int{4, 1}, 2},
	} {
		if got := fakeParent(test.workers, test.open...).needed(); got != test.want+spare {
			t.Errorf("%d workers, %v open: %d needed, want %d", test.workers, test.open, got, test.want)
		}
	}
}
