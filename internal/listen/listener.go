package listen

// listener.go is the open listener. Close removes the file of a unix socket only while
// it is still the file that this listener bound.

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// socket is what *net.TCPListener and *net.UnixListener have in common.
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
	shared bool        // other processes accept from it, too
	path   string      // of the file to remove; "" if there is none
	file   os.FileInfo // of the file as it was bound

	unlink sync.Once
	filed  atomic.Bool // File was called

	mu        sync.Mutex
	inherited bool     // another process has, or will have, the socket too
	waiter    *os.File // a copy of the descriptor; nil until asked for
	closed    bool
}

// Wrap makes a Listener of a socket that package net has opened.
func Wrap(l *net.TCPListener) *Listener { return &Listener{socket: l, bound: true} }

// Unwrap returns the *net.TCPListener or *net.UnixListener behind l.
func (l *Listener) Unwrap() net.Listener { return l.socket }

// IsBound reports whether One or All created the socket, so that no one else
// relies on its options. It stays true after SetInherited.
func (l *Listener) IsBound() bool { return l.bound }

// IsShared reports whether siblings of this process accept from the socket, too:
// then a connection that can't be served at once is better left to them.
func (l *Listener) IsShared() bool { return l.shared }

// IsInherited reports whether another process holds the socket too: then Close
// leaves the file, and connections in the backlog are the other process's to
// answer. The answer may change while the listener is in use.
func (l *Listener) IsInherited() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inherited
}

// HasCopies reports whether another process may have the socket too, and with it
// the socket's O_NONBLOCK: who clears it clears it for all.
func (l *Listener) HasCopies() bool { return !l.bound || l.shared || l.filed.Load() }

// File returns a copy of the socket, as package net's listeners do, for another
// process to have.
func (l *Listener) File() (*os.File, error) {
	l.filed.Store(true)
	return l.socket.File()
}

// SetInherited sets what IsInherited reports. Package prefork calls it at the end
// of the program, when nobody is left to answer what waits in the backlog.
func (l *Listener) SetInherited(inherited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inherited = inherited
}

// Waitable returns a copy of the socket that can be waited on without accepting,
// which package net's listeners can't. Deadlines set on l apply to the copy, and
// l.Close closes it. Every call returns the same file.
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

// Close closes the socket. It unlinks the file first: while the socket is open,
// its inode number can't go to another file, and no one takes it for dead.
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

// isFile reports whether path is still the file that was seen before.
func isFile(path string, file os.FileInfo) bool {
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(now, file)
}
