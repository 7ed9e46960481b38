package socket

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// backlogWait is how long Backlog waits for a connection where it can't know that
// there is none.
const backlogWait = 50 * time.Millisecond

// An Acceptor takes connections from a listener, for one goroutine at a time;
// Interrupt and Close are safe for concurrent use.
type Acceptor struct {
	l        net.Listener
	timeouts *Timeouts
	direct   *direct // nil: connections come from l.Accept
}

// A Waitable is a listener whose descriptor an Acceptor may use.
type Waitable interface {
	net.Listener
	SyscallConn() (syscall.RawConn, error)

	// Waitable returns a copy of the descriptor in the runtime's poller. It
	// shares the deadlines and the end of the listener.
	Waitable() (*os.File, error)

	// IsBound reports that no one else relies on the socket's options.
	IsBound() bool

	// HasCopies reports that another process may have the socket too, and with
	// it the socket's O_NONBLOCK.
	HasCopies() bool
}

// NewAcceptor returns an Acceptor for l, whose connections share timeouts. On
// Linux it takes the connections of a [Waitable] from its descriptor, and if it
// IsBound sets options there that they inherit. Those of any other listener come
// from its Accept method.
func NewAcceptor(l net.Listener, timeouts *Timeouts) *Acceptor {
	a := &Acceptor{l: l, timeouts: timeouts}
	if w, ok := l.(Waitable); ok {
		a.direct = newDirect(w)
	}
	return a
}

// TryAccept makes c the next connection in l's backlog. It never waits: if there
// is none, or it can't be known, it fails with syscall.EAGAIN.
func (a *Acceptor) TryAccept(c *Conn) error {
	if a.direct == nil {
		return syscall.EAGAIN
	}
	c.timeouts = a.timeouts
	return a.direct.tryAccept(c)
}

// Accept makes c the next connection, and waits for it.
func (a *Acceptor) Accept(c *Conn) error {
	c.timeouts = a.timeouts
	if a.direct != nil {
		return a.direct.accept(c)
	}
	conn, err := a.l.Accept()
	if err != nil {
		return err
	}
	c.Open(conn, a.timeouts)
	return nil
}

// Open makes c of conn. Accept does it for the connections of a listener.
func (c *Conn) Open(conn net.Conn, timeouts *Timeouts) {
	c.other.Conn = conn
	c.s, c.timeouts = &c.other, timeouts
}

// Backlog is TryAccept after Interrupt. It fails if there is no connection, and
// waits a moment to find out where TryAccept can't know.
func (a *Acceptor) Backlog(c *Conn) error {
	if a.direct != nil {
		return a.TryAccept(c)
	}
	d, ok := a.l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return net.ErrClosed
	}
	if err := d.SetDeadline(time.Now().Add(backlogWait)); err != nil {
		return err
	}
	return a.Accept(c)
}

// Interrupt makes Accept return an error, now and from now on. It closes a
// listener that has no deadlines.
func (a *Acceptor) Interrupt() {
	d, ok := a.l.(interface{ SetDeadline(time.Time) error })
	if !ok || d.SetDeadline(longAgo) != nil {
		_ = a.l.Close()
	}
}

// Close closes the listener.
func (a *Acceptor) Close() { _ = a.l.Close() }

// IsTemporary reports whether an error of Accept passes by itself: something has
// run out, or a connection went away in the backlog. accept(2) names the errors
// of the network that Linux reports this way.
func IsTemporary(err error) bool {
	for _, e := range temporary {
		if errors.Is(err, e) {
			return true
		}
	}
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

var temporary = append(systemTemporary,
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO, syscall.EPERM,
	syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
	syscall.ENOPROTOOPT, syscall.EOPNOTSUPP)
