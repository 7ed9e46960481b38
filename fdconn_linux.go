//go:build linux && !386 && !s390x

package scgi

// fdconn_linux.go owns the accepted descriptor that is kept out of the
// runtime's poller until something has to wait. Rule: behind net.Conn's own
// interface, and only the first EAGAIN pays for the poller. A web server sends
// its request as it connects, and takes a page at once, so most connections
// never wait: that saves a fifth of an exchange on TCP. (386 and s390x have no
// accept4 of their own in package syscall.)

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// fdConn is a net.Conn over a non-blocking socket. Its try methods never wait;
// they answer syscall.EAGAIN instead.
type fdConn struct {
	mu   sync.Mutex
	fd   int      // -1 once closed
	file *os.File // fd in the poller; nil until something had to wait
	unix bool
	peer syscall.RawSockaddrInet6 // as accept4 gave it; of TCP only
}

func (c *fdConn) open(fd int, unix bool, peer *syscall.RawSockaddrInet6) {
	c.fd, c.unix = fd, unix
	if !unix {
		c.peer = *peer
	}
}

// do calls f with the descriptor, which stays open meanwhile. f must not wait.
func (c *fdConn) do(f func(fd int)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return net.ErrClosed
	}
	f(c.fd)
	return nil
}

func (c *fdConn) tryRead(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	for {
		n, err := sysRead(c.fd, p)
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

// tryWrite sends what goes at once of head and body, in one system call.
func (c *fdConn) tryWrite(head, body []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	for {
		n, err := sysWritev(c.fd, head, body)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// trySendfile sends what goes at once of the next n bytes of src.
func (c *fdConn) trySendfile(src syscall.RawConn, n int) (sent int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	srcErr := src.Read(func(in uintptr) bool {
		for {
			if sent, err = syscall.Sendfile(c.fd, int(in), nil, n); err != syscall.EINTR {
				return true
			}
		}
	})
	if srcErr != nil {
		return 0, srcErr
	}
	return max(sent, 0), err
}

// poll puts the descriptor into the poller, once.
func (c *fdConn) poll() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil, net.ErrClosed
	}
	if c.file == nil {
		c.file = os.NewFile(uintptr(c.fd), "")
	}
	return c.file, nil
}

// polled returns nil while nothing had to wait.
func (c *fdConn) polled() *os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file
}

func (c *fdConn) SyscallConn() (syscall.RawConn, error) {
	f, err := c.poll()
	if err != nil {
		return nil, err
	}
	return f.SyscallConn()
}

// readReady waits for input and gives it to use. It holds no buffer while it
// waits.
func (c *fdConn) readReady(use func([]byte)) (err error) {
	raw, rawErr := c.SyscallConn()
	if rawErr == nil {
		rawErr = raw.Read(func(uintptr) bool {
			buf := scratch.Get().(*[scratchSize]byte)
			defer scratch.Put(buf)
			var n int
			if n, err = c.tryRead(buf[:]); err == syscall.EAGAIN {
				return false
			}
			use(buf[:n])
			return true
		})
	}
	if rawErr != nil {
		err = rawErr
	}
	return c.opError("read", err)
}

// sendfile sends some of the next n bytes of src, and waits if none goes.
func (c *fdConn) sendfile(src syscall.RawConn, n int) (sent int, err error) {
	raw, rawErr := c.SyscallConn()
	if rawErr == nil {
		rawErr = raw.Write(func(uintptr) bool {
			sent, err = c.trySendfile(src, n)
			return err != syscall.EAGAIN
		})
	}
	if rawErr != nil {
		err = rawErr
	}
	return sent, err
}

func (c *fdConn) Read(p []byte) (int, error) {
	if c.polled() == nil { // no deadline can be set yet
		if n, err := c.tryRead(p); err != syscall.EAGAIN {
			return n, c.opError("read", err)
		}
	}
	f, err := c.poll()
	if err != nil {
		return 0, c.opError("read", err)
	}
	n, err := f.Read(p)
	return n, c.opError("read", err)
}

func (c *fdConn) Write(p []byte) (int, error) {
	sent := 0
	if c.polled() == nil {
		n, err := c.tryWrite(p, nil)
		if sent = n; sent == len(p) || err != nil && err != syscall.EAGAIN {
			return sent, c.opError("write", err)
		}
	}
	f, err := c.poll()
	if err != nil {
		return sent, c.opError("write", err)
	}
	n, err := f.Write(p[sent:])
	return sent + n, c.opError("write", err)
}

func (c *fdConn) Close() error {
	c.mu.Lock()
	fd, file := c.fd, c.file
	c.fd = -1
	c.mu.Unlock()
	switch {
	case fd < 0:
		return c.opError("close", net.ErrClosed)
	case file != nil:
		return file.Close()
	}
	return os.NewSyscallError("close", sysClose(fd))
}

func (c *fdConn) closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fd < 0
}

// CloseWrite shuts down the writing side.
func (c *fdConn) CloseWrite() error {
	var err error
	if e := c.do(func(fd int) { err = syscall.Shutdown(fd, syscall.SHUT_WR) }); e != nil {
		err = e
	}
	return c.opError("close", err)
}

// SetLinger sets SO_LINGER; with 0 seconds Close resets a TCP connection.
func (c *fdConn) SetLinger(sec int) error {
	var err error
	l := syscall.Linger{Onoff: 1, Linger: int32(sec)}
	if e := c.do(func(fd int) { err = syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &l) }); e != nil {
		err = e
	}
	return c.opError("set", err)
}

func (c *fdConn) RemoteAddr() net.Addr {
	if c.unix {
		return &net.UnixAddr{Net: "unix"}
	}
	return tcpAddr(&c.peer)
}

func (c *fdConn) LocalAddr() net.Addr {
	if c.unix {
		return &net.UnixAddr{Net: "unix"}
	}
	var sa syscall.Sockaddr
	_ = c.do(func(fd int) { sa, _ = syscall.Getsockname(fd) })
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)))
	case *syscall.SockaddrInet6:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)))
	}
	return &net.TCPAddr{}
}

// tcpAddr reads the address that the kernel wrote.
func tcpAddr(sa *syscall.RawSockaddrInet6) net.Addr {
	bigEndian := (*[2]byte)(unsafe.Pointer(&sa.Port))
	port := uint16(bigEndian[0])<<8 | uint16(bigEndian[1])
	var ip netip.Addr
	switch sa.Family {
	case syscall.AF_INET:
		ip = netip.AddrFrom4((*syscall.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr)
	case syscall.AF_INET6:
		ip = netip.AddrFrom16(sa.Addr).Unmap()
		if ifi, err := net.InterfaceByIndex(int(sa.Scope_id)); sa.Scope_id != 0 && err == nil {
			ip = ip.WithZone(ifi.Name)
		}
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, port))
}

func (c *fdConn) SetDeadline(t time.Time) error      { return c.set(t, (*os.File).SetDeadline) }
func (c *fdConn) SetReadDeadline(t time.Time) error  { return c.set(t, (*os.File).SetReadDeadline) }
func (c *fdConn) SetWriteDeadline(t time.Time) error { return c.set(t, (*os.File).SetWriteDeadline) }

func (c *fdConn) set(t time.Time, deadline func(*os.File, time.Time) error) error {
	if t.IsZero() && c.polled() == nil {
		return nil // none is set
	}
	f, err := c.poll()
	if err == nil {
		err = deadline(f, t)
	}
	return c.opError("set", err)
}

// opError dresses an error as package net would.
func (c *fdConn) opError(op string, err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *net.OpError:
		return e
	case *os.PathError:
		err = e.Err
	}
	switch {
	case err == io.EOF:
		return err
	case c.closed():
		err = net.ErrClosed // the poller has names of its own for it
	}
	network := "tcp"
	if c.unix {
		network = "unix"
	}
	return &net.OpError{Op: op, Net: network, Addr: c.RemoteAddr(), Err: err}
}
