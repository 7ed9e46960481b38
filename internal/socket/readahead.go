package socket

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// ReadAhead watches a peer on systems that can't watch a socket's state. It reads, as
// net/http does, but at most one byte, which Conn.Detach returns.
type ReadAhead struct {
	c    *Conn
	eof  bool
	gone func()
	once sync.Once // taken by the first Start or Stop
	done chan struct{}
	ran  bool
}

// ReadAhead returns a watch that calls gone when the peer goes away; if eof is true, the
// end of input is enough. The watch begins with Start.
func (c *Conn) ReadAhead(eof bool, gone func()) *ReadAhead {
	return &ReadAhead{c: c, eof: eof, gone: gone, done: make(chan struct{})}
}

// Start begins to read; call it once the request has been read. After Stop it does
// nothing.
func (a *ReadAhead) Start() {
	a.once.Do(func() {
		a.ran = true
		if !a.c.ownRead.Load() {
			_ = a.c.s.setReadDeadline(time.Time{})
		}
		go a.run()
	})
}

func (a *ReadAhead) run() {
	defer close(a.done)
	a.c.reading.Lock()
	defer a.c.reading.Unlock()
	var one [1]byte
	n, err := a.c.s.read(one[:])
	switch {
	case n == 1:
		a.c.ahead = append(a.c.ahead, one[0])
	case errors.Is(err, os.ErrDeadlineExceeded):
	case errors.Is(err, io.EOF) && !a.eof:
	default:
		a.gone()
	}
}

// Stop ends the watch. Once it has returned, the watch reads nothing.
func (a *ReadAhead) Stop() {
	a.once.Do(func() {})
	if a.ran {
		_ = a.c.s.setReadDeadline(longAgo)
		<-a.done
		_ = a.c.s.setReadDeadline(time.Time{})
	}
}
