package stacks

import (
	"bytes"
	"testing"
	"time"
)

// Goroutines' traces are taken once for all who asked before, and anew for who asks
// later. With 256 slow requests among 4000 goroutines the program stood still for
// half a minute.
func TestStacksAreShared(t *testing.T) {
	var a All
	asked := time.Now()
	first := &a.since(asked)[0]
	if &a.since(asked)[0] != first {
		t.Error("they were taken twice")
	}
	if &a.since(time.Now())[0] == first {
		t.Error("they are older than the question")
	}
}

func TestOf(t *testing.T) {
	ids, end := make(chan ID), make(chan bool)
	go func() {
		ids <- Mine()
		<-end
	}()
	id := <-ids
	var a All
	if trace := a.Of(id); !bytes.Contains(trace, []byte("stacks.TestOf.func1")) {
		t.Errorf("the trace of another goroutine is %q", trace)
	}
	if a.text != nil {
		t.Error("traces are kept while nobody asks")
	}
	close(end)
	for a.Of(id) != nil { // until it has ended
	}
}
