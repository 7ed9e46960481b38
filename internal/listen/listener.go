package listen

// listener.go has the open listener. Close removes a unix socket's file only if it is
// still the file that this listener bound.

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// socket has the methods that *net.TCPListener and *net.UnixListener share.
type socket interface {
	net.Listener
	SetDeadline(time.Time) error
	SyscallConn() (syscall.RawConn, error)
	File() (*os.File, error)
}

// A Listener is a listening socket that One or All opened. Its methods are safe
// for concurrent use.
type Listener struct {
	socket

	bound  bool        // One or All created the socket, here or in the parent
	shared bool        // other processes accept from it too
	path   string      // of the file to remove; "" if there is none
	file   os.FileInfo // of the file as it was bound

	unlink sync.Once
	filed  atomic.Bool // whether File was called

	mu        sync.Mutex
	inherited bool     // another process has, or will have, the socket too
	waiter    *os.File // a copy of the descriptor; nil until asked for
	closed    bool
}

// Wrap makes a Listener of a socket opened by package net.
func Wrap(l *net.TCPListener) *Listener { return &Listener{socket: l, bound: true} }

// Unwrap returns the *net.TCPListener or *net.UnixListener behind l.
func (l *Listener) Unwrap() net.Listener { return l.socket }

// IsBound reports whether One or All created the socket, so that no other program relies
// on its options. It stays true after SetInherited.
func (l *Listener) IsBound() bool { return l.bound }

// IsShared reports whether siblings of this process accept from the socket too. A
// connection that can't be served at once is better left to them.
func (l *Listener) IsShared() bool { return l.shared }

// IsInherited reports whether another process holds the socket too. If so, Close leaves
// the file, and the other process answers the connections in the backlog. The answer may
// change while the listener is in use.
func (l *Listener) IsInherited() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inherited
}

// HasCopies reports whether another process may hold the socket too. The two share the
// O_NONBLOCK flag: a process that clears it clears it for both.
func (l *Listener) HasCopies() bool { return !l.bound || l.shared || l.filed.Load() }

// File returns a copy of the socket to pass to another process, as the File method of
// package net's listeners does.
func (l *Listener) File() (*os.File, error) {
	l.filed.Store(true)
	return l.socket.File()
}

// SetInherited sets what IsInherited reports. Package prefork calls it at the end of the
// program, when no process is left to answer the backlog.
func (l *Listener) SetInherited(inherited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inherited = inherited
}

// Waitable returns a copy of the socket on which to wait without accepting, which
// package net's listeners can't do. Deadlines set on l apply to the copy, and l.Close
// closes it. Every call returns the same file.
func (l *Listener) Waitable() (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	var err error
	if l.waiter == nil {
		l.waiter, err = l.socket.File()
	}
	return l.waiter, err
}

// SetDeadline sets the deadline of Accept and of the waitable copy.
func (l *Listener) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiter != nil && !l.closed {
		if err := l.waiter.SetDeadline(t); err != nil {
			return err
		}
	}
	return l.socket.SetDeadline(t)
}

// Close closes the socket. It unlinks the file first: while the socket is open, no other
// file can get its inode number, and no process takes it for a dead socket.
func (l *Listener) Close() error {
	l.unlink.Do(l.removeFile)
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.socket.Close()
	if l.waiter != nil && !l.closed {
		_ = l.waiter.Close()
	}
	l.closed = true
	return err
}

func (l *Listener) removeFile() {
	if l.path != "" && !l.IsInherited() && isFile(l.path, l.file) {
		os.Remove(l.path) // if this fails, the next Listen finds a dead socket and replaces it
	}
}

// isFile reports whether path still names the file seen before.
func isFile(path string, file os.FileInfo) bool {
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(now, file)
}
