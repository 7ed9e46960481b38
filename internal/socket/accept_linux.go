package socket

import (
	"net"
	"os"
	"syscall"
	"unsafe"
)

var systemTemporary = []error{syscall.ENONET}

// direct accepts on a listener's descriptor without the poller, with one system call for
// each connection.
type direct struct {
	l     Waitable
	raw   syscall.RawConn // of the listener
	wait  syscall.RawConn // of the copy to wait on
	local net.Addr
	tcp   bool

	rights  bool // peers may pass descriptors along
	refuses bool // peers that connect from now on can't

	// The result of the last accept4, and the closures that call it. Both are made
	// once, since closures allocate.
	fd   int
	peer syscall.RawSockaddrInet6
	size uint32 // the size of peer
	err  error
	once func(uintptr)
	next func(uintptr) bool
}

// newDirect returns nil if the listener is closed.
func newDirect(l Waitable) *direct {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) { _ = syscall.SetNonblock(int(fd), true) }) // the poller takes no blocking copy
	f, err := l.Waitable()
	if err != nil {
		return nil
	}
	wait, err := f.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{l: l, raw: raw, wait: wait, local: l.Addr()}
	d.tcp = d.local.Network() == "tcp"
	d.next = d.accept4
	d.once = func(fd uintptr) { d.accept4(fd) }
	d.rights = !d.tcp
	switch {
	case !l.IsBound():
	case d.tcp:
		_ = raw.Control(setOptions)
	default:
		d.refuses = refuseRights(raw)
	}
	return d
}

// setOptions sets options on the listener that accepted sockets inherit. One of them lets
// the kernel hold a connection back for a second until it has sent something: otherwise
// four in five requests over TCP are accepted before their header has arrived. Apache does
// the same.
func setOptions(fd uintptr) {
	setConnOptions(int(fd))
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, 1)
}

// setConnOptions sets the options that package net sets on each TCP connection.
func setConnOptions(fd int) {
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9)
}

// undefer makes the kernel hand out new connections even if they have sent nothing. If
// another process goes on to accept, undefer leaves the option alone: the connections that
// the kernel holds back are that process's to answer.
func (d *direct) undefer() {
	if d.tcp && d.l.IsBound() && !d.l.IsInherited() {
		_ = d.raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, 0)
		})
	}
}

// holdsBack reports whether the kernel holds connections that it has not handed out.
func (d *direct) holdsBack() bool {
	addr, ok := d.local.(*net.TCPAddr)
	return ok && d.l.IsBound() && hasHandshake(addr)
}

// accept4 takes a connection from the backlog, and reports false if the backlog is empty.
func (d *direct) accept4(listener uintptr) bool {
	for {
		if d.l.HasCopies() {
			// Any process that shares the socket may clear O_NONBLOCK; os/exec does so
			// when it passes the socket on. A process that blocks here can't shut down.
			_ = syscall.SetNonblock(int(listener), true)
		}
		d.fd, d.err = d.call(listener)
		switch d.err {
		case syscall.EINTR, syscall.ECONNABORTED:
		case syscall.EAGAIN:
			d.rights = d.rights && !d.refuses // no peer from before refuseRights is left
			return false
		default:
			return true
		}
	}
}

// call is accept4(2). syscall.Accept4 makes three allocations for the peer's address.
func (d *direct) call(listener uintptr) (int, error) {
	var peer *syscall.RawSockaddrInet6 // nil on a unix socket, whose peers have no name
	var size *uint32
	if d.tcp {
		d.size = uint32(unsafe.Sizeof(d.peer))
		peer, size = &d.peer, &d.size
	}
	fd, _, errno := syscall.Syscall6(sysAccept4, listener, uintptr(unsafe.Pointer(peer)), uintptr(unsafe.Pointer(size)),
		syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

func (d *direct) tryAccept(c *Conn) error {
	if err := d.raw.Control(d.once); err != nil {
		return err
	}
	return d.take(c)
}

func (d *direct) accept(c *Conn) error {
	if err := d.wait.Read(d.next); err != nil {
		if closed := d.raw.Control(func(uintptr) {}); closed != nil {
			return closed // package net's error
		}
		return err
	}
	return d.take(c)
}

func (d *direct) take(c *Conn) error {
	switch d.err {
	case nil:
		if d.tcp && !d.l.IsBound() {
			setConnOptions(d.fd)
		}
		c.fd.open(d.fd, d.peer, d.local, d.rights)
		c.s = &c.fd
		return nil
	case syscall.EAGAIN:
		return d.err
	}
	return &net.OpError{Op: "accept", Net: d.local.Network(), Addr: d.local, Err: os.NewSyscallError("accept4", d.err)}
}
