//go:build linux && !386 && !s390x && !race

package scgi

// syscall_linux.go owns the system calls of the fast path. Rule: they are on
// sockets that never block and on few bytes, so they are made without telling
// the scheduler, which would be a twentieth of an exchange. (The race detector
// takes what passes through package syscall for synchronisation: see
// syscall_race_linux.go.)

import (
	"syscall"
	"unsafe"
)

// rawLimit bounds the bytes that are copied behind the scheduler's back: some
// 10 µs.
const rawLimit = 64 << 10

func sysRead(fd int, p []byte) (int, error) {
	if len(p) == 0 || len(p) > rawLimit {
		return syscall.Read(fd, p)
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return sysResult(n, errno)
}

func sysWrite(fd int, p []byte) (int, error) {
	if len(p) == 0 || len(p) > rawLimit {
		return syscall.Write(fd, p)
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return sysResult(n, errno)
}

func sysWritev(fd int, head, body []byte) (int, error) {
	switch {
	case len(body) == 0:
		return sysWrite(fd, head)
	case len(head) == 0:
		return sysWrite(fd, body)
	}
	parts := [2]syscall.Iovec{{Base: &head[0]}, {Base: &body[0]}}
	parts[0].SetLen(len(head))
	parts[1].SetLen(len(body))
	n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&parts)), 2)
	return sysResult(n, errno)
}

func sysClose(fd int) error {
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0)
	_, err := sysResult(0, errno)
	return err
}

// sysAccept4 asks for the peer's address if peer is not nil.
func sysAccept4(fd int, peer *syscall.RawSockaddrInet6) (int, error) {
	var size *uint32
	if peer != nil {
		size = new(uint32)
		*size = uint32(unsafe.Sizeof(*peer))
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(peer)),
		uintptr(unsafe.Pointer(size)), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	return sysResult(n, errno)
}

// sysResult makes no error of 0.
func sysResult(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
