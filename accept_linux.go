//go:build linux && !386 && !s390x

package scgi

// accept_linux.go owns accepting without the poller. Rule: what is accepted
// costs one system call, and its settings come from the listener.

import (
	"net"
	"os"
	"syscall"
)

// acceptRaw takes connections straight from a listener's descriptor. To wait
// for one it needs a listener of this package's own; with another it leaves
// that to its Accept, so that closing and interrupting it work as ever.
type acceptRaw struct {
	raw  syscall.RawConn
	wait syscall.RawConn // nil: can't be waited on
	unix bool

	fd   int
	err  error
	peer syscall.RawSockaddrInet6
	once func(uintptr)      // accept4, made but once
	next func(uintptr) bool // likewise
}

// waitable is what Listen returns: a listener of package net's, with a copy of
// its descriptor that can be waited on without accepting.
type waitable interface {
	Unwrap() net.Listener
	Waitable() (*os.File, error)
}

// newAcceptRaw returns nil for a listener that can't be accepted from so.
func newAcceptRaw(l net.Listener) *acceptRaw {
	a := &acceptRaw{}
	a.next = a.accept4
	a.once = func(fd uintptr) { a.accept4(fd) }
	own, isOwn := l.(waitable)
	if isOwn {
		l = own.Unwrap()
	}
	var err error
	switch l := l.(type) {
	case *net.TCPListener:
		a.raw, err = l.SyscallConn()
	case *net.UnixListener:
		a.raw, err = l.SyscallConn()
		a.unix = true
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	if isOwn {
		if f, err := own.Waitable(); err == nil {
			a.wait, _ = f.SyscallConn()
		}
	}
	if !a.unix {
		_ = a.raw.Control(inherit)
	}
	return a
}

// inherit sets on the listener what package net sets on each connection, since
// accepted sockets inherit it, and keeps those from it that have sent nothing,
// for a second: else four in five requests over TCP are accepted before their
// header has come, and have to wait in the poller. Apache does the same.
func inherit(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, 1)
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15)
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15)
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9)
}

// accept4 takes a queued connection. It reports false if there is none.
func (a *acceptRaw) accept4(listener uintptr) bool {
	peer := &a.peer
	if a.unix {
		peer = nil // it has no name
	}
	for {
		fd, err := sysAccept4(int(listener), peer)
		switch err {
		case nil:
			a.fd, a.err = fd, nil
			return true
		case syscall.EINTR, syscall.ECONNABORTED:
		default:
			a.err = err
			return err != syscall.EAGAIN
		}
	}
}

// tryAccept puts a queued connection into c, or fails with EAGAIN.
func (a *acceptRaw) tryAccept(c *conn) error {
	if err := a.raw.Control(a.once); err != nil {
		return err
	}
	return a.take(c)
}

// accept waits for a connection and puts it into c.
func (a *acceptRaw) accept(c *conn) error {
	if err := a.wait.Read(a.next); err != nil {
		if closed := a.raw.Control(func(uintptr) {}); closed != nil {
			return closed // by its own name
		}
		return err
	}
	return a.take(c)
}

func (a *acceptRaw) take(c *conn) error {
	switch a.err {
	case nil:
		c.fd.open(a.fd, a.unix, &a.peer)
		c.rwc = &c.fd
		return nil
	case syscall.EAGAIN:
		return a.err
	}
	return os.NewSyscallError("accept4", a.err)
}
