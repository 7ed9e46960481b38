package scgi

// readahead.go owns the portable watch over a peer: once the body is read, a
// goroutine reads on, as net/http does. Rule: at most one byte is taken, it is
// not lost, and the goroutine has ended when stop returns.

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// watch has gone called when the peer goes away, until the returned function
// is called.
func (c *conn) watch(gone func()) (stop func()) {
	if stop, ok := c.srv.peers.add(c.rwc, !c.srv.AllowHalfClose, gone); ok {
		return stop
	}
	a := &readAhead{c: c, gone: gone, done: make(chan struct{})}
	c.x.Load().body.whenRead(a.start)
	return a.stop
}

type readAhead struct {
	c    *conn
	gone func()
	once sync.Once // decides whether it ever starts
	done chan struct{}
	ran  bool
}

func (a *readAhead) start() {
	a.once.Do(func() {
		a.ran = true
		if !a.c.ownRead.Load() {
			_ = a.c.rwc.SetReadDeadline(time.Time{})
		}
		go a.run()
	})
}

func (a *readAhead) run() {
	defer close(a.done)
	var one [1]byte
	n, err := a.c.rwc.Read(one[:])
	switch {
	case n == 1:
		a.c.x.Load().ahead(one[0])
	case errors.Is(err, os.ErrDeadlineExceeded):
	case errors.Is(err, io.EOF) && a.c.srv.AllowHalfClose:
	default:
		a.gone()
	}
}

func (a *readAhead) stop() {
	a.once.Do(func() {})
	if a.ran {
		_ = a.c.rwc.SetReadDeadline(time.Unix(1, 0))
		<-a.done
		_ = a.c.rwc.SetReadDeadline(time.Time{})
	}
}
