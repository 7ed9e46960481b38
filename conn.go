package scgi

// conn.go owns the server's record of a connection. Rule: a connection that is
// tracked ends by close, finish or abort, so that it is untracked.

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"example.com/scgi/internal/socket"
)

// scratchSize takes a usual header and the 8 KiB of body that nginx and Apache
// send with it.
const scratchSize = 16 << 10

// scratch holds the buffers in which replies are gathered. Callers never see a
// slice of them.
var scratch = sync.Pool{New: func() any { return new([scratchSize]byte) }}

// conn is an open connection.
type conn struct {
	socket.Conn
	srv  *Server
	base context.Context
	x    atomic.Pointer[exchange] // nil until the header is read

	prev, next *conn // in srv.conns
}

// Read reads bytes of the body.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == socket.ErrDropped {
		err = http.ErrBodyReadAfterClose
	}
	return n, err
}

// watch calls gone when the peer goes away, until stop is called.
func (c *conn) watch(gone func()) (stop func()) {
	eof := !c.srv.AllowHalfClose
	if stop, ok := c.srv.watch.Add(&c.Conn, eof, gone); ok {
		return stop
	}
	a := c.ReadAhead(eof, gone)
	c.x.Load().body.whenRead(a.Start)
	return a.Stop
}

// finish ends the connection after a reply. If the peer may still send, or has
// sent what was not read, closing at once would reset the connection and take
// the reply with it.
func (c *conn) finish(allRead bool) {
	if allRead {
		c.close()
		return
	}
	go c.linger()
}

func (c *conn) linger() {
	c.Linger()
	c.close()
}

// abort cuts the connection so that the web server does not take what it has for
// a whole reply.
func (c *conn) abort() {
	c.Abort()
	c.srv.untrack(c)
}

func (c *conn) close() {
	_ = c.Close()
	c.srv.untrack(c)
}

// deadline is the end of a wait that begins now.
func deadline(timeout time.Duration) time.Time {
	if timeout < 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}
