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

// bufferSize holds what a web server usually sends at once.
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// hangTime is how long a call may go on using a closed descriptor before it counts as
// hung.
const hangTime = 100 * time.Millisecond

// The state of a descriptor: the number of calls that use it, and whether it is closed.
const (
	closed  = 1
	oneUser = 2
)

// descriptor is a stream over a non-blocking socket. As in package poll, calls count
// themselves as users, and the last one closes the descriptor; no lock is held over a
// system call. So a call that hangs, for example in a read of a file on a network,
// delays no other.
type descriptor struct {
	fd    int
	state atomic.Int32
	peer  syscall.RawSockaddrInet6 // from accept4, on TCP only
	local net.Addr                 // the listener's address

	rights bool // the peer may pass descriptors along

	mu   sync.Mutex // guards poll and the deadlines
	poll *os.File   // fd in the runtime's poller; nil until a call has to wait
}

// open takes over fd; local is the address of its listener.
func (d *descriptor) open(fd int, peer syscall.RawSockaddrInet6, local net.Addr, rights bool) {
	d.fd, d.peer, d.local, d.rights = fd, peer, local, rights
}

// use calls f with the descriptor, which stays open during the call.
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

// destroy is called once, when the descriptor is closed and has no users left.
func (d *descriptor) destroy() error {
	if d.poll != nil {
		return d.poll.Close()
	}
	return os.NewSyscallError("close", syscall.Close(d.fd))
}

// close wakes waiting calls with a deadline in the past. Closing the file instead would
// wait for calls that are not waiting in the poller.
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

// poller adds the descriptor to the runtime's poller, once. The caller must be a user.
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
			return nil // there is no deadline to clear
		}
		f, err := d.poller()
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.isClosed() { // close has set a deadline of its own
			return net.ErrClosed
		}
		return set(f, t)
	})
	return d.opError("set", "", err)
}

// await calls try until it returns something other than EAGAIN. In between, wait waits for
// the descriptor to be ready.
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

// abort resets a TCP connection at once, even while a call hangs. It only closes a unix
// socket: if input was not read, the peer gets an error.
func (d *descriptor) abort() {
	busy := d.state.Load() >= oneUser
	switch {
	case d.isUnix():
		if busy {
			time.AfterFunc(hangTime, d.shutdown)
		}
	case d.acquire():
		if busy {
			go d.reset() // the reset may have to wait for the call
		} else {
			d.reset()
		}
	}
	_ = d.close()
}

// reset resets the connection. Its caller is a user, and no longer is one afterwards.
func (d *descriptor) reset() {
	_ = disconnect(d.fd)
	d.release()
}

// shutdown shuts down a closed connection in which a call still hangs.
func (d *descriptor) shutdown() {
	for s := d.state.Load(); s >= oneUser; s = d.state.Load() {
		if d.state.CompareAndSwap(s, s+oneUser) {
			_ = syscall.Shutdown(d.fd, syscall.SHUT_RDWR)
			d.release()
			return
		}
	}
}

// detach turns the descriptor into one of package net's connections.
func (d *descriptor) detach() (c net.Conn, err error) {
	err = d.use(func(int) error {
		f, err := d.poller()
		if err == nil {
			c, err = net.FileConn(f) // duplicates the descriptor
		}
		return err
	})
	if err == nil {
		err = d.close()
	}
	return c, err
}

func (d *descriptor) netConn(c *Conn) net.Conn { return netConn{c, d} }

// netConn makes a descriptor a net.Conn and a syscall.Conn.
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

// write sends head and then body. It makes two system calls if both have bytes, which
// happens once for a reply that is larger than its buffer: package syscall has no writev,
// and only its Write orders memory for the race detector.
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

// disconnect resets a TCP connection. connect(2) with AF_UNSPEC does that, and unlike
// SO_LINGER it does not need a close.
func disconnect(fd int) error {
	sa := syscall.RawSockaddr{Family: syscall.AF_UNSPEC}
	_, _, errno := syscall.Syscall(sysConnect, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))
	if errno != 0 {
		return errno
	}
	return nil
}
