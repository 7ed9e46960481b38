package scgi

// accept.go owns a listener's way of bringing connections, and how it is
// interrupted. Rule: connections that the kernel has queued are not reset by an
// orderly end.

import (
	"net"
	"syscall"
	"time"
)

// backlogWait is how long a listener without a non-blocking accept is asked
// for what it has queued.
const backlogWait = 50 * time.Millisecond

type acceptor struct {
	l   net.Listener
	raw *acceptRaw // nil: accept through l
}

func newAcceptor(l net.Listener) *acceptor {
	return &acceptor{l: l, raw: newAcceptRaw(l)}
}

// isInherited reports whether someone else holds the socket too, and its
// backlog. That may change while the server runs.
func (a *acceptor) isInherited() bool {
	own, ok := a.l.(interface{ IsInherited() bool })
	return ok && own.IsInherited()
}

// tryAccept puts a connection that is queued into c. It fails with EAGAIN if
// there is none, or none can be had without waiting.
func (a *acceptor) tryAccept(c *conn) error {
	if a.raw == nil {
		return syscall.EAGAIN
	}
	return a.raw.tryAccept(c)
}

// accept waits for a connection and puts it into c.
func (a *acceptor) accept(c *conn) (err error) {
	if a.raw != nil && a.raw.wait != nil {
		return a.raw.accept(c)
	}
	if err := a.tryAccept(c); err != syscall.EAGAIN {
		return err
	}
	c.rwc, err = a.l.Accept()
	return err
}

// backlog is tryAccept after interrupt, where nothing is lost by asking longer.
func (a *acceptor) backlog(c *conn) error {
	if a.raw != nil {
		return a.raw.tryAccept(c)
	}
	d, ok := a.l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return net.ErrClosed
	}
	if err := d.SetDeadline(time.Now().Add(backlogWait)); err != nil {
		return err
	}
	return a.accept(c)
}

// interrupt makes accept return an error, now and from now on.
func (a *acceptor) interrupt() {
	d, ok := a.l.(interface{ SetDeadline(time.Time) error })
	if !ok || d.SetDeadline(time.Unix(1, 0)) != nil {
		_ = a.l.Close()
	}
}

func (a *acceptor) close() { _ = a.l.Close() }
