package scgi

import (
	"testing"
	"time"
)

// Goroutines' traces are taken once for all who asked before, and anew for who asks
// later. With 256 slow requests among 4000 goroutines the program stood still for
// half a minute.
func TestStacksAreShared(t *testing.T) {
	var a allStacks
	asked := time.Now()
	first := &a.since(asked)[0]
	if &a.since(asked)[0] != first {
		t.Error("they were taken twice")
	}
	if &a.since(time.Now())[0] == first {
		t.Error("they are older than the question")
	}
}
