package socket

import (
	"net"
	"os"
	"syscall"
	"unsafe"
)

var systemTemporary = []error{syscall.ENONET}

// direct accepts from a listener's descriptor without the poller, in one system
// call a connection.
type direct struct {
	l     Waitable
	raw   syscall.RawConn // of the listener
	wait  syscall.RawConn // of the copy to wait on
	local net.Addr
	tcp   bool

	rights  bool // peers may pass descriptors along
	refuses bool // those who connect from now on can't

	// The last accept4, and how it is called: both are made once, as closures
	// allocate.
	fd   int
	peer syscall.RawSockaddrInet6
	size uint32 // of peer
	err  error
	once func(uintptr)
	next func(uintptr) bool
}

// newDirect returns nil for a listener that is closed.
func newDirect(l Waitable) *direct {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) { _ = syscall.SetNonblock(int(fd), true) }) // or the copy can't be waited on
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

// setOptions sets options on the listener that accepted sockets inherit. And it
// lets the kernel keep connections back that have sent nothing, for a second:
// otherwise four in five requests over TCP are accepted before their header has
// come. Apache does the same.
func setOptions(fd uintptr) {
	setConnOptions(int(fd))
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, 1)
}

// setConnOptions sets what package net sets on each TCP connection.
func setConnOptions(fd int) {
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9)
}

// undefer makes the kernel hand out the connections that come from now on, also if
// they have sent nothing. Where another process goes on to accept, it leaves the
// option alone: the connections that are held back are that process's.
func (d *direct) undefer() {
	if d.tcp && d.l.IsBound() && !d.l.IsInherited() {
		_ = d.raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, 0)
		})
	}
}

// holdsBack reports whether the kernel has connections that it has not handed
// out.
func (d *direct) holdsBack() bool {
	addr, ok := d.local.(*net.TCPAddr)
	return ok && d.l.IsBound() && hasHandshake(addr)
}

// accept4 takes a connection from the backlog. It reports false if there is
// none.
func (d *direct) accept4(listener uintptr) bool {
	for {
		if d.l.HasCopies() {
			// os/exec clears it when it passes the socket on, and so may
			// whoever has it. A process that blocks here can't shut down.
			_ = syscall.SetNonblock(int(listener), true)
		}
		d.fd, d.err = d.call(listener)
		switch d.err {
		case syscall.EINTR, syscall.ECONNABORTED:
		case syscall.EAGAIN:
			d.rights = d.rights && !d.refuses // no one is left from before
			return false
		default:
			return true
		}
	}
}

// call is accept4(2), which syscall.Accept4 makes with three allocations for the
// peer's address.
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
			return closed // package net's name for it
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
