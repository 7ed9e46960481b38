//go:build linux && !386 && !s390x && race

package scgi

// syscall_race_linux.go is syscall_linux.go for the race detector, which then
// knows that a peer reads after the server has written.

import (
	"slices"
	"syscall"
	"unsafe"
)

func sysRead(fd int, p []byte) (int, error)  { return syscall.Read(fd, p) }
func sysWrite(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }
func sysClose(fd int) error                  { return syscall.Close(fd) }

func sysWritev(fd int, head, body []byte) (int, error) {
	return syscall.Write(fd, slices.Concat(head, body))
}

// sysAccept4 asks for the peer's address if peer is not nil.
func sysAccept4(fd int, peer *syscall.RawSockaddrInet6) (int, error) {
	var size *uint32
	if peer != nil {
		size = new(uint32)
		*size = uint32(unsafe.Sizeof(*peer))
	}
	n, _, errno := syscall.Syscall6(syscall.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(peer)),
		uintptr(unsafe.Pointer(size)), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
