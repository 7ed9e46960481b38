//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// share.go opens the sockets that a parent shares with its children. The parent holds a
// bare descriptor: the poller would watch a net.Listener and wake the parent for each
// connection that its children accept.

import "syscall"

// Release closes l but keeps its socket and the socket's file. It returns a descriptor
// of the socket, which new processes do not inherit by default, and a function that
// removes the file as Close would have done.
func (l *Listener) Release() (fd int, remove func(), err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return -1, nil, err
	}
	if control := raw.Control(func(own uintptr) { fd, err = duplicateFD(int(own)) }); control != nil {
		err = control
	}
	if err != nil {
		return -1, nil, err
	}
	remove = l.removeFile
	if l.IsInherited() {
		remove = func() {}
	}
	l.unlink.Do(func() {})
	_ = l.Close()
	return fd, remove, nil
}

// Shared opens the socket that a parent passed to this process as fd. bound says whether
// the parent created it.
func Shared(fd int, bound bool) (*Listener, error) {
	l, err := inheritFD(fd)
	if err != nil {
		return nil, err
	}
	l.bound, l.shared = bound, true
	if err := syscall.Close(fd); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}
