package socket

// peer_linux.go asks the kernel about the two ends of a connection.

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"
)

// KnowsPeers reports whether PeerUser works on this system.
const KnowsPeers = true

// PeerUser returns the user and group of the process at the other end of a unix socket at
// the time it connected.
func (c *Conn) PeerUser() (uid, gid int, err error) {
	var cred *syscall.Ucred
	controlErr := c.s.control(func(fd int) { cred, err = syscall.GetsockoptUcred(fd, syscall.SOL_SOCKET, syscall.SO_PEERCRED) })
	if controlErr != nil {
		return 0, 0, controlErr
	}
	if err != nil {
		return 0, 0, err
	}
	return int(cred.Uid), int(cred.Gid), nil
}

// Empty reports whether the kernel is known to hold no input.
func (c *Conn) Empty() bool {
	var one [1]byte
	n, err := 1, error(nil)
	controlErr := c.s.control(func(fd int) { n, _, err = syscall.Recvfrom(fd, one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT) })
	return controlErr == nil && len(c.ahead) == 0 && (n == 0 || err == syscall.EAGAIN)
}

// queued returns the number of sent bytes that the peer has not taken. It decreases only
// when the peer takes some.
func (c *Conn) queued() (n int) {
	_ = c.s.control(func(fd int) { n, _ = unsent(fd) })
	return n
}

func (d *descriptor) isUnix() bool { return d.local.Network() == "unix" }

// localAddr returns the listener's address for a unix socket. The kernel's name may differ:
// it is the one that the socket was bound to before it got its place.
func (d *descriptor) localAddr() net.Addr {
	if d.isUnix() {
		return d.local
	}
	addr := d.local
	_ = d.use(func(fd int) error {
		sa, err := syscall.Getsockname(fd)
		switch sa := sa.(type) {
		case *syscall.SockaddrInet4:
			addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)))
		case *syscall.SockaddrInet6:
			addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port)))
		}
		return err
	})
	return addr
}

// remoteAddr returns no name for the peer of a unix socket: web servers don't bind theirs.
func (d *descriptor) remoteAddr() net.Addr {
	if d.isUnix() {
		return &net.UnixAddr{Net: "unix"}
	}
	return tcpAddr(&d.peer)
}

// tcpAddr converts an address from the kernel.
func tcpAddr(sa *syscall.RawSockaddrInet6) net.Addr {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
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
