//go:build unix

package restart

// inherit_unix.go owns the copying of sockets where processes inherit them.

import (
	"os"
	"syscall"
)

func closeOnExec(fd int) { syscall.CloseOnExec(fd) }

// duplicate returns a copy of the socket c. Package net's File would do, if
// passing it on did not make all copies of the socket blocking: to end an accept
// that waits would no longer be possible then.
func duplicate(c syscall.Conn) (f *os.File, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	control := raw.Control(func(fd uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		dup := -1
		if dup, err = syscall.Dup(int(fd)); err == nil {
			syscall.CloseOnExec(dup)
			f = os.NewFile(uintptr(dup), "socket")
		}
	})
	if control != nil {
		return nil, control
	}
	return f, os.NewSyscallError("dup", err)
}
