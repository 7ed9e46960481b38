package scgi

// leak_test.go owns the check that goroutines end. Rule: no test passes that
// leaves one behind.

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// leakCheck fails t if a goroutine that was started after this call outlives t
// and the cleanups registered after it. It is no use in parallel tests, nor in
// a synctest bubble, which checks for itself.
func leakCheck(t *testing.T) {
	t.Helper()
	before := goroutines()
	t.Cleanup(func() {
		var left []string
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
			if left = newGoroutines(before); len(left) == 0 {
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
		t.Errorf("%d goroutines left:\n\n%s", len(left), strings.Join(left, "\n\n"))
	})
}

func newGoroutines(before map[string]string) (stacks []string) {
	for id, stack := range goroutines() {
		if before[id] == "" {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// goroutines maps the ids of all goroutines but this one and the test
// framework's to their stacks.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	all := make(map[string]string)
	for i, stack := range strings.Split(string(buf), "\n\n") {
		if i == 0 || strings.Contains(stack, "testing.(*T).Run(") || strings.Contains(stack, "os/signal.") {
			continue
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		all[id] = stack
	}
	return all
}

func TestLeakCheckSees(t *testing.T) {
	leakCheck(t)
	before := goroutines()
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	running := make(chan struct{})
	go func() { close(running); <-stop }()
	<-running
	if n := len(newGoroutines(before)); n != 1 {
		t.Errorf("%d new goroutines seen, want 1", n)
	}
}
