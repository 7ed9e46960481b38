package socket

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// backlogWait is how long Backlog waits for a connection where it can't know that
// there is none.
const backlogWait = 50 * time.Millisecond

// deferWait is how long Backlog waits for connections that the kernel has held
// back because they have sent nothing. It hands them out when it repeats its
// SYN-ACK, a second after the first.
const deferWait = 1500 * time.Millisecond

// An Acceptor takes connections from a listener, for one goroutine at a time;
// Interrupt and Close are safe for concurrent use.
type Acceptor struct {
	l        net.Listener
	timeouts *Timeouts
	direct   *direct // nil: connections come from l.Accept

	mu    sync.Mutex // over until, and the setting of l's deadline
	until time.Time  // the end of deferWait; zero before Interrupt
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

	// IsInherited reports that the backlog is another process's to answer.
	IsInherited() bool

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
// waits to find out where that is not known at once: a moment if l's descriptor
// can't be used, and up to a second and a half while the kernel holds TCP
// connections back that have sent nothing.
func (a *Acceptor) Backlog(c *Conn) error {
	for a.direct == nil {
		began := time.Now()
		if err := a.allowWait(); err != nil {
			return err
		}
		err := a.Accept(c)
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < 2*backlogWait {
			return err
		}
		// A busy machine has let the deadline pass before l looked at its backlog.
	}
	for {
		if err := a.TryAccept(c); err != syscall.EAGAIN {
			return err
		}
		if !a.direct.holdsBack() || a.allowWait() != nil {
			return a.TryAccept(c) // the last may have come meanwhile
		}
		if err := a.Accept(c); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// allowWait lets Accept wait again, for a moment. It fails if l has no deadlines,
// and where Backlog is to wait no more.
func (a *Acceptor) allowWait() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, ok := a.l.(deadliner)
	if !ok || a.direct != nil && time.Now().After(a.until) {
		return net.ErrClosed
	}
	return l.SetDeadline(time.Now().Add(backlogWait))
}

type deadliner interface{ SetDeadline(time.Time) error }

// Interrupt makes Accept return an error, now and from now on; if cut is true,
// Backlog does not wait either. It closes a listener that has no deadlines.
func (a *Acceptor) Interrupt(cut bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case cut:
		a.until = time.Now()
	case a.until.IsZero():
		a.until = time.Now().Add(deferWait)
		if a.direct != nil {
			a.direct.undefer()
		}
	}
	if l, ok := a.l.(deadliner); !ok || l.SetDeadline(longAgo) != nil {
		_ = a.l.Close()
	}
}

// IsShared reports that other processes accept from the listener at the same time.
func (a *Acceptor) IsShared() bool {
	l, ok := a.l.(interface{ IsShared() bool })
	return ok && l.IsShared()
}

// IsInherited reports that another process has the listener too, and answers its
// backlog. That may change while the listener is in use.
func (a *Acceptor) IsInherited() bool {
	l, ok := a.l.(interface{ IsInherited() bool })
	return ok && l.IsInherited()
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
