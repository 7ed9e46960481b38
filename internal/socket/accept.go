package socket

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// backlogWait is how long Backlog waits for a connection where it can't see whether the
// backlog is empty.
const backlogWait = 50 * time.Millisecond

// deferWait is how long Backlog waits for TCP connections that the kernel holds back
// because they have sent nothing. The kernel hands them out when it repeats its SYN-ACK,
// a second after the first.
const deferWait = 1500 * time.Millisecond

// An Acceptor takes connections from a listener. One goroutine at a time may accept;
// Interrupt and Close are safe for concurrent use.
type Acceptor struct {
	l        net.Listener
	timeouts *Timeouts
	direct   *direct // nil if connections come from l.Accept

	mu    sync.Mutex // guards until and the setting of l's deadline
	until time.Time  // the end of deferWait; zero before Interrupt
}

// A Waitable is a listener whose descriptor an Acceptor may use.
type Waitable interface {
	net.Listener
	SyscallConn() (syscall.RawConn, error)

	// Waitable returns a copy of the descriptor in the runtime's poller. It has
	// the listener's deadlines and is closed with the listener.
	Waitable() (*os.File, error)

	// IsBound reports that no other program relies on the socket's options.
	IsBound() bool

	// IsInherited reports that another process answers the backlog.
	IsInherited() bool

	// HasCopies reports that another process may hold the socket too. The two
	// share its O_NONBLOCK flag.
	HasCopies() bool
}

// NewAcceptor returns an Acceptor for l, whose connections share timeouts. On Linux it
// accepts on the descriptor of a [Waitable]; if IsBound, it first sets options there that
// accepted connections inherit. It calls the Accept method of any other listener.
func NewAcceptor(l net.Listener, timeouts *Timeouts) *Acceptor {
	a := &Acceptor{l: l, timeouts: timeouts}
	if w, ok := l.(Waitable); ok {
		a.direct = newDirect(w)
	}
	return a
}

// TryAccept makes c the next connection in l's backlog. It never waits: if the backlog is
// empty, or its state is unknown, TryAccept fails with syscall.EAGAIN.
func (a *Acceptor) TryAccept(c *Conn) error {
	if a.direct == nil {
		return syscall.EAGAIN
	}
	c.timeouts = a.timeouts
	return a.direct.tryAccept(c)
}

// Accept waits for the next connection and makes it c.
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

// Open makes c of conn, as Accept does for the connections of a listener.
func (c *Conn) Open(conn net.Conn, timeouts *Timeouts) {
	c.other.Conn = conn
	c.s, c.timeouts = &c.other, timeouts
}

// Backlog is TryAccept for use after Interrupt. It fails if the backlog is empty. If it
// can't know that at once, it waits: for a moment if l's descriptor can't be used, and
// for up to a second and a half while the kernel holds back TCP connections that have
// sent nothing.
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
		// On a busy machine the deadline may pass before l looks at its backlog: retry.
	}
	for {
		if err := a.TryAccept(c); err != syscall.EAGAIN {
			return err
		}
		if !a.direct.holdsBack() || a.allowWait() != nil {
			return a.TryAccept(c) // the last one may have arrived meanwhile
		}
		if err := a.Accept(c); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// allowWait lets Accept wait for another moment. It fails if l has no deadlines, or if
// Backlog's time is over.
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

// Interrupt makes Accept fail from now on; if cut is true, Backlog does not wait either.
// A listener without deadlines is closed.
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

// IsShared reports whether other processes accept from the listener at the same time.
func (a *Acceptor) IsShared() bool {
	l, ok := a.l.(interface{ IsShared() bool })
	return ok && l.IsShared()
}

// IsInherited reports whether another process holds the listener too and answers its
// backlog. The answer may change while the listener is in use.
func (a *Acceptor) IsInherited() bool {
	l, ok := a.l.(interface{ IsInherited() bool })
	return ok && l.IsInherited()
}

// Close closes the listener.
func (a *Acceptor) Close() { _ = a.l.Close() }

// IsTemporary reports whether Accept may succeed again after err: a resource has run out,
// or a connection in the backlog went away. accept(2) names the network errors that Linux
// reports this way.
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
