// Package leak checks that a test leaves nothing behind.
package leak

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Goroutines fails t if a goroutine started after this call outlives t and the cleanups
// registered after it. It does not work in parallel tests. A synctest bubble does not need
// it.
func Goroutines(t testing.TB) {
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
		t.Errorf("%d goroutines leaked:\n\n%s", len(left), strings.Join(left, "\n\n"))
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

// goroutines maps the ids of all goroutines to their stacks, without this one and the test
// framework's.
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

// Descriptors fails t if more descriptors are open at its end than at the call, on systems
// that list them. Call it before Goroutines, so that it runs after it. Listen once before
// the call, so that the descriptors that the runtime keeps are open by then.
func Descriptors(t testing.TB) {
	t.Helper()
	before := descriptors()
	t.Cleanup(func() {
		for end := time.Now().Add(5 * time.Second); descriptors() > before; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%d descriptors are open, want at most %d", descriptors(), before)
				return
			}
		}
	})
}

func descriptors() int {
	names, _ := os.ReadDir("/proc/self/fd")
	return len(names)
}

// TempFiles gives t a folder for temporary files, and fails t if one of them still exists,
// or is still open, at its end.
func TempFiles(t testing.TB) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // Windows
	t.Cleanup(func() {
		if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
			t.Errorf("left in the temporary folder: %v, %v", files, err)
		}
		links, _ := filepath.Glob("/proc/self/fd/*") // Linux
		for _, link := range links {
			if name, _ := os.Readlink(link); strings.HasPrefix(name, dir) {
				t.Errorf("left open: %s", name)
			}
		}
	})
}
