//go:build !linux

package prefork

// queue_other.go is for systems that don't tell whether connections wait in a
// socket. It assumes once a second that some do, which keeps one child free.

import "time"

const queuesAreKnown = false

// watchQueues calls crowded once a second, until stop is called.
func watchQueues(_ []int, crowded func()) (stop func()) {
	tick, end := time.NewTicker(time.Second), make(chan struct{})
	go func() {
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				crowded()
			case <-end:
				return
			}
		}
	}()
	return func() { close(end) }
}
