//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// share.go opens the sockets that a parent shares with its children. The parent holds a
// bare descriptor: a net.Listener, which the poller watches, would wake it for each
// connection that its children accept.

import "syscall"

// Release closes l, but not its socket, and leaves the socket's file. It returns
// a descriptor of the socket that no new process inherits by itself, and a
// function that removes the file as Close would have.
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

// Shared opens the socket that a parent has passed to this process as fd. bound
// says that the parent created it.
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
