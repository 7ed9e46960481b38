package prefork

// queue_linux.go watches the sockets' queues. It wakes up when connections wait,
// at most 20 times a second, however many arrive.

import (
	"syscall"
	"time"
	"unsafe"
)

const queuesAreKnown = true

const (
	// queueTime is how long a connection must have waited. A child with a free
	// worker accepts one in a fraction of that.
	queueTime = 10 * time.Millisecond

	// queuePause is the time between two looks.
	queuePause = 40 * time.Millisecond
)

// watchQueues calls crowded when connections wait in the sockets, until stop is
// called.
func watchQueues(sockets []int, crowded func()) (stop func()) {
	var pipe [2]int
	if syscall.Pipe2(pipe[:], syscall.O_CLOEXEC) != nil {
		return func() {}
	}
	q := newQueues(sockets, pipe[0])
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for q.wait() {
			time.Sleep(queueTime)
			if q.isCrowded() {
				crowded()
			}
			time.Sleep(queuePause)
		}
	}()
	return func() {
		_ = syscall.Close(pipe[1])
		<-ended
		_ = syscall.Close(pipe[0])
	}
}

// queues is the argument of ppoll: the sockets, and last a pipe that is closed to
// end the watch.
type queues []pollFD

// pollFD is struct pollfd.
type pollFD struct {
	fd              int32
	events, revents int16
}

const pollIn = 1

func newQueues(sockets []int, end int) queues {
	var q queues
	for _, fd := range append(sockets[:len(sockets):len(sockets)], end) {
		q = append(q, pollFD{fd: int32(fd), events: pollIn})
	}
	return q
}

// wait waits for a connection or for the end of the watch.
func (q queues) wait() bool {
	for {
		switch err := q.poll(nil); {
		case err == syscall.EINTR:
		case err != 0:
			return false
		default:
			return q[len(q)-1].revents == 0
		}
	}
}

func (q queues) isCrowded() bool {
	if q.poll(new(syscall.Timespec)) != 0 {
		return false
	}
	for _, socket := range q[:len(q)-1] {
		if socket.revents&pollIn != 0 {
			return true
		}
	}
	return false
}

func (q queues) poll(timeout *syscall.Timespec) syscall.Errno {
	_, _, err := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&q[0])), uintptr(len(q)), uintptr(unsafe.Pointer(timeout)), 0, 0, 0)
	return err
}
