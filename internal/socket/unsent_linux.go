package socket

import (
	"net"
	"syscall"
	"unsafe"
)

// Unsent returns the number of bytes that were written to c and that the peer has not taken
// (SIOCOUTQ): on TCP, what its kernel has not acknowledged; on a unix socket, what it has
// not read, in whole kernel buffers with their overhead. It returns false if the number is
// unknown.
func Unsent(c net.Conn) (n int, ok bool) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) { n, ok = unsent(int(fd)) })
	return n, ok && err == nil
}

func unsent(fd int) (n int, ok bool) {
	var queued int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&queued)))
	return int(queued), errno == 0
}
