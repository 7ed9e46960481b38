package socket

import (
	"encoding/binary"
	"net"
	"syscall"
)

// What sock_diag(7) and netlink(7) name, and package syscall does not.
const (
	netlinkSockDiag  = 4
	sockDiagByFamily = 20
	stateSynRecv     = 3
	diagRequestSize  = syscall.NLMSG_HDRLEN + 56
)

// hasHandshake reports whether a TCP connection to a local address is waiting for
// the end of its handshake, or for its first byte under TCP_DEFER_ACCEPT. It
// reports true where the system does not tell.
func hasHandshake(local *net.TCPAddr) bool {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, netlinkSockDiag)
	if err != nil {
		return true
	}
	defer syscall.Close(fd)
	if local.IP.To4() == nil && askHandshake(fd, syscall.AF_INET6, local.Port) {
		return true
	}
	return askHandshake(fd, syscall.AF_INET, local.Port) // a socket for IPv6 may take these too
}

// askHandshake sends a struct inet_diag_req_v2 for the sockets of a family that
// are in SYN_RECV. The kernel has answered when the call returns: the first
// message is of a socket, or it is the end.
func askHandshake(fd int, family byte, port int) bool {
	var request [diagRequestSize]byte
	binary.NativeEndian.PutUint32(request[0:], diagRequestSize)
	binary.NativeEndian.PutUint16(request[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(request[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP)
	diag := request[syscall.NLMSG_HDRLEN:]
	diag[0], diag[1] = family, syscall.IPPROTO_TCP
	binary.NativeEndian.PutUint32(diag[4:], 1<<stateSynRecv)
	binary.BigEndian.PutUint16(diag[8:], uint16(port))
	if err := syscall.Sendto(fd, request[:], 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return true
	}
	var answer [8 << 10]byte
	n, err := syscall.Read(fd, answer[:])
	return err != nil || n < syscall.NLMSG_HDRLEN || binary.NativeEndian.Uint16(answer[4:]) != syscall.NLMSG_DONE
}
