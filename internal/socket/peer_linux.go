package socket

import "syscall"

// KnowsPeers reports that PeerUser works on this system.
const KnowsPeers = true

// PeerUser returns the user and group of the process at the other end of a unix
// socket, as the kernel knew them when it connected.
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

// Empty reports that the kernel is known to hold no input.
func (c *Conn) Empty() bool {
	var one [1]byte
	n, err := 1, error(nil)
	controlErr := c.s.control(func(fd int) { n, _, err = syscall.Recvfrom(fd, one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT) })
	return controlErr == nil && len(c.ahead) == 0 && (n == 0 || err == syscall.EAGAIN)
}

// queued returns the bytes that were sent and the peer has not taken. It gets
// less only when the peer takes some.
func (c *Conn) queued() (n int) {
	_ = c.s.control(func(fd int) { n, _ = unsent(fd) })
	return n
}
