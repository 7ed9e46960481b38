package socket

import (
	"encoding/binary"
	"net"
	"syscall"
)

// Names of sock_diag(7) and netlink(7) that package syscall lacks.
const (
	netlinkSockDiag  = 4
	sockDiagByFamily = 20
	stateSynRecv     = 3
	diagRequestSize  = syscall.NLMSG_HDRLEN + 56
)

// hasHandshake reports whether a TCP connection to a local address is waiting for the end
// of its handshake, or under TCP_DEFER_ACCEPT for its first byte. It reports true if the
// system doesn't tell.
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

// askHandshake sends a struct inet_diag_req_v2 that asks for a family's sockets in state
// SYN_RECV. The answer is there when the call returns: its first message describes a
// socket, or ends the list.
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
