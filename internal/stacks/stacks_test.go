package stacks

import (
	"bytes"
	"testing"
	"time"
)

// Callers that asked before the traces were taken share them; a later caller gets new ones.
// Before they were shared, 256 slow requests among 4000 goroutines stopped the program for
// half a minute.
func TestConcurrentCallersShareTraces(t *testing.T) {
	var a All
	asked := time.Now()
	first := &a.since(asked)[0]
	if &a.since(asked)[0] != first {
		t.Error("the traces were taken twice")
	}
	if &a.since(time.Now())[0] == first {
		t.Error("the traces are older than the call")
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
		t.Error("traces are kept while no caller waits")
	}
	close(end)
	for a.Of(id) != nil { // until the goroutine has ended
	}
}
