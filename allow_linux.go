package scgi

import (
	"net"
	"syscall"
)

// knowsPeers says that peerUser works here.
const knowsPeers = true

// peerUser returns the user and group of the process at the other end of a
// unix socket, as the kernel knew them when it connected.
func peerUser(c net.Conn) (uid, gid int, err error) {
	do := descriptor(c)
	if do == nil {
		return 0, 0, syscall.ENOTSOCK
	}
	var cred *syscall.Ucred
	err = net.ErrClosed
	do(func(fd int) { cred, err = syscall.GetsockoptUcred(fd, syscall.SOL_SOCKET, syscall.SO_PEERCRED) })
	if err != nil {
		return 0, 0, err
	}
	return int(cred.Uid), int(cred.Gid), nil
}
