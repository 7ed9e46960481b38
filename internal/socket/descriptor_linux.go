package socket

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// bufferSize takes what a web server usually sends at once.
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// hangTime is how long a closed descriptor may have users before one is taken to
// hang.
const hangTime = 100 * time.Millisecond

// The state of a descriptor: how many calls use it, and whether it is closed.
const (
	closed  = 1
	oneUser = 2
)

// descriptor is a stream over a non-blocking socket. As in package poll, calls
// count themselves as users and the last one closes it; no lock is held over a
// system call. So whatever a call hangs in (a file on a network, memory mapped
// from one), the others go on.
type descriptor struct {
	fd    int
	state atomic.Int32
	peer  syscall.RawSockaddrInet6 // as accept4 gave it, of TCP only
	local net.Addr                 // of the listener

	rights bool // the peer may pass descriptors along

	mu   sync.Mutex // over poll and deadlines
	poll *os.File   // fd in the runtime's poller; nil until something had to wait
}

// open takes fd over; local is the address of its listener.
func (d *descriptor) open(fd int, peer syscall.RawSockaddrInet6, local net.Addr, rights bool) {
	d.fd, d.peer, d.local, d.rights = fd, peer, local, rights
}

// use calls f with the descriptor, which stays open meanwhile.
func (d *descriptor) use(f func(fd int) error) error {
	if !d.acquire() {
		return net.ErrClosed
	}
	defer d.release()
	return f(d.fd)
}

func (d *descriptor) acquire() bool {
	for {
		s := d.state.Load()
		if s&closed != 0 {
			return false
		}
		if d.state.CompareAndSwap(s, s+oneUser) {
			return true
		}
	}
}

func (d *descriptor) release() {
	if d.state.Add(-oneUser) == closed {
		_ = d.destroy()
	}
}

func (d *descriptor) isClosed() bool { return d.state.Load()&closed != 0 }

// destroy is called once, when the descriptor is closed and has no users.
func (d *descriptor) destroy() error {
	if d.poll != nil {
		return d.poll.Close()
	}
	return os.NewSyscallError("close", syscall.Close(d.fd))
}

// close wakes those who wait by a deadline that has passed: to close the file
// would wait for those who don't.
func (d *descriptor) close() error {
	switch s := d.state.Or(closed); {
	case s&closed != 0:
		return d.opError("close", "", net.ErrClosed)
	case s == 0:
		return d.destroy()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.poll != nil {
		_ = d.poll.SetDeadline(longAgo)
	}
	return nil
}

// poller puts the descriptor into the runtime's poller, once. The caller is a
// user.
func (d *descriptor) poller() (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isClosed() {
		return nil, net.ErrClosed
	}
	if d.poll == nil {
		d.poll = os.NewFile(uintptr(d.fd), "socket")
	}
	return d.poll, nil
}

func (d *descriptor) isPolled() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.poll != nil
}

func (d *descriptor) setReadDeadline(t time.Time) error {
	return d.setDeadline(t, (*os.File).SetReadDeadline)
}

func (d *descriptor) setWriteDeadline(t time.Time) error {
	return d.setDeadline(t, (*os.File).SetWriteDeadline)
}

func (d *descriptor) setDeadline(t time.Time, set func(*os.File, time.Time) error) error {
	err := d.use(func(int) error {
		if t.IsZero() && !d.isPolled() {
			return nil // none is set
		}
		f, err := d.poller()
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.isClosed() { // which has set one of its own
			return net.ErrClosed
		}
		return set(f, t)
	})
	return d.opError("set", "", err)
}

// await calls try until it does not answer EAGAIN, and in between waits with
// wait for the descriptor to be ready.
func (d *descriptor) await(wait func(syscall.RawConn, func(uintptr) bool) error, try func(fd int) error) error {
	return d.use(func(fd int) error {
		f, err := d.poller()
		if err != nil {
			return err
		}
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		waitErr := wait(raw, func(uintptr) bool {
			err = try(fd)
			return err != syscall.EAGAIN
		})
		if waitErr != nil {
			return waitErr
		}
		return err
	})
}

func (d *descriptor) tryRead(p []byte) (n int, err error) {
	read := read
	if d.rights {
		read = readRights
	}
	err = d.use(func(fd int) error {
		n, err = read(fd, p)
		return err
	})
	return n, d.opError("read", "read", err)
}

func (d *descriptor) read(p []byte) (n int, err error) {
	err = d.await(syscall.RawConn.Read, func(fd int) error {
		n, err = read(fd, p)
		return err
	})
	return n, d.opError("read", "read", err)
}

func (d *descriptor) receive(use func([]byte)) error {
	err := d.await(syscall.RawConn.Read, func(fd int) error {
		buf := buffers.Get().(*[bufferSize]byte)
		defer buffers.Put(buf)
		n, err := read(fd, buf[:])
		if err == nil {
			use(buf[:n])
		}
		return err
	})
	return d.opError("read", "read", err)
}

func (d *descriptor) tryWrite(head, body []byte) (n int, err error) {
	err = d.use(func(fd int) error {
		n, err = write(fd, head, body)
		return err
	})
	return n, d.opError("write", "write", err)
}

func (d *descriptor) write(head, body []byte) (n int, err error) {
	err = d.await(syscall.RawConn.Write, func(fd int) error {
		n, err = write(fd, head, body)
		return err
	})
	return n, d.opError("write", "write", err)
}

func (d *descriptor) trySendFile(f File, most int64) (n int64, err error) {
	err = d.use(func(fd int) error {
		n, err = sendFile(fd, f, most)
		return err
	})
	return n, d.opError("write", "sendfile", err)
}

func (d *descriptor) sendFile(f File, most int64) (n int64, err error) {
	err = d.await(syscall.RawConn.Write, func(fd int) error {
		n, err = sendFile(fd, f, most)
		return err
	})
	return n, d.opError("write", "sendfile", err)
}

func (d *descriptor) control(f func(fd int)) error {
	return d.use(func(fd int) error { f(fd); return nil })
}

func (d *descriptor) closeWrite() error {
	err := d.use(func(fd int) error { return syscall.Shutdown(fd, syscall.SHUT_WR) })
	return d.opError("close", "shutdown", err)
}

// abort resets a TCP connection at once, even under a call that hangs. A unix
// socket is only closed, so that input which was not read tells its peer.
func (d *descriptor) abort() {
	busy := d.state.Load() >= oneUser
	switch {
	case d.isUnix():
		if busy {
			time.AfterFunc(hangTime, d.shutdown)
		}
	case d.acquire():
		if busy {
			go d.reset() // which may have to wait for the call
		} else {
			d.reset()
		}
	}
	_ = d.close()
}

// reset is called by a user, whose use it ends.
func (d *descriptor) reset() {
	_ = disconnect(d.fd)
	d.release()
}

// shutdown ends a closed connection that a call still hangs in.
func (d *descriptor) shutdown() {
	for s := d.state.Load(); s >= oneUser; s = d.state.Load() {
		if d.state.CompareAndSwap(s, s+oneUser) {
			_ = syscall.Shutdown(d.fd, syscall.SHUT_RDWR)
			d.release()
			return
		}
	}
}

// detach makes a connection of package net.
func (d *descriptor) detach() (c net.Conn, err error) {
	err = d.use(func(int) error {
		f, err := d.poller()
		if err == nil {
			c, err = net.FileConn(f) // of a copy
		}
		return err
	})
	if err == nil {
		err = d.close()
	}
	return c, err
}

func (d *descriptor) netConn(c *Conn) net.Conn { return netConn{c, d} }

// netConn is a descriptor as a net.Conn and syscall.Conn.
type netConn struct {
	*Conn
	d *descriptor
}

func (c netConn) Write(p []byte) (int, error) { return c.Conn.Write(p, nil) }

func (c netConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c netConn) SyscallConn() (raw syscall.RawConn, err error) {
	err = c.d.use(func(int) error {
		f, err := c.d.poller()
		if err == nil {
			raw, err = f.SyscallConn()
		}
		return err
	})
	return raw, err
}

// opError wraps an error as package net does.
func (d *descriptor) opError(op, call string, err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *net.OpError:
		return e
	case syscall.Errno:
		if e == syscall.EAGAIN {
			return e
		}
		err = os.NewSyscallError(call, e)
	}
	if err == io.EOF {
		return err
	}
	if d.isClosed() {
		err = net.ErrClosed // the poller has other names for it
	}
	return &net.OpError{Op: op, Net: d.local.Network(), Source: d.localAddr(), Addr: d.remoteAddr(), Err: err}
}

func read(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// write sends head and then body. It makes two calls where both have bytes, which
// is once for a reply that is larger than its buffer: package syscall has no
// writev, and its Write is what orders memory for the race detector.
func write(fd int, head, body []byte) (sent int, err error) {
	for _, part := range [2][]byte{head, body} {
		for len(part) > 0 {
			n, err := syscall.Write(fd, part)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				return sent, err
			}
			sent += n
			if n < len(part) {
				return sent, nil
			}
			part = nil
		}
	}
	return sent, nil
}

func sendFile(fd int, f File, most int64) (n int64, err error) {
	src, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	srcErr := src.Read(func(in uintptr) bool {
		for {
			k, e := syscall.Sendfile(fd, int(in), nil, int(most))
			if e != syscall.EINTR {
				n, err = int64(max(k, 0)), e
				return true
			}
		}
	})
	if srcErr != nil {
		return 0, srcErr
	}
	return n, err
}

// disconnect resets a TCP connection. It is what connect(2) does with AF_UNSPEC,
// and unlike SO_LINGER it needs no close.
func disconnect(fd int) error {
	sa := syscall.RawSockaddr{Family: syscall.AF_UNSPEC}
	_, _, errno := syscall.Syscall(sysConnect, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))
	if errno != 0 {
		return errno
	}
	return nil
}
