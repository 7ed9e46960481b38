// Package stacks takes the stack trace of another goroutine.
package stacks

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// maxBytes bounds the traces of all goroutines, in which Of searches.
const maxBytes = 64 << 20

// ID identifies a goroutine. It is the beginning of its trace, up to and including its
// number.
type ID string

// Mine returns the calling goroutine's ID.
func Mine() ID {
	buf := make([]byte, 64)
	head, _, _ := bytes.Cut(buf[:runtime.Stack(buf, false)], []byte("["))
	return ID(head)
}

// All holds the traces of all goroutines. Taking them stops the program, so concurrent
// callers share one set. The zero value is ready to use.
type All struct {
	asking atomic.Int64
	mu     sync.Mutex
	began  time.Time
	text   []byte // nil while no caller waits
}

// Of returns a goroutine's stack trace, or nil if the goroutine has ended.
func (a *All) Of(id ID) (trace []byte) {
	a.asking.Add(1)
	asked := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for t := range bytes.SplitSeq(a.since(asked), []byte("\n\n")) {
		if bytes.HasPrefix(t, []byte(id)) {
			trace = bytes.Clone(t)
			break
		}
	}
	if a.asking.Add(-1) == 0 {
		a.text = nil
	}
	return trace
}

// since returns traces taken after asked. The caller holds the lock.
func (a *All) since(asked time.Time) []byte {
	if a.began.After(asked) {
		return a.text
	}
	a.began = time.Now()
	buf := make([]byte, 1<<16)
	n := runtime.Stack(buf, true)
	for n == len(buf) && n < maxBytes {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	a.text = buf[:n]
	return a.text
}
