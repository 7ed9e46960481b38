//go:build !linux

package prefork

// queue_other.go owns what is done where the queues of sockets can't be looked
// at. Rule: once a second somebody might wait, and one child is kept free.

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
