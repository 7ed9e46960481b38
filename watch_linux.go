package scgi

// watch_linux.go owns the watch over peers that may go away. Rule: it looks at
// the state of sockets and never reads from them, so it works while the body is
// unread, and one goroutine serves any number of requests. It needs epoll's
// EPOLLRDHUP and its word on which side of a unix socket was shut.

import (
	"net"
	"os"
	"sync"
	"syscall"
)

// peerWatch tells when the peers of sockets are gone. The zero value is ready.
type peerWatch struct {
	mu     sync.Mutex
	epoll  *os.File // nil until first used, and after close
	fd     int      // epoll's
	gone   map[uint64]func()
	lastID uint64
	done   chan struct{} // closed when the goroutine has ended
}

// add has gone called, once, when c's peer goes away. The end of input is
// enough if eof is true, but on a unix socket both sides have to be shut. It
// reports false if c is not a socket.
func (w *peerWatch) add(c net.Conn, eof bool, gone func()) (remove func(), ok bool) {
	do := descriptor(c)
	if do == nil {
		return nil, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.start(); err != nil {
		return nil, false
	}
	w.lastID++
	id := w.lastID
	event := syscall.EpollEvent{Events: syscall.EPOLLONESHOT, Fd: int32(id), Pad: int32(id >> 32)}
	if eof && c.RemoteAddr().Network() != "unix" {
		event.Events |= syscall.EPOLLRDHUP
	}
	err := error(net.ErrClosed)
	if do(func(fd int) { err = syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_ADD, fd, &event) }); err != nil {
		return nil, false
	}
	w.gone[id] = gone
	return func() { w.remove(do, id) }, true
}

func (w *peerWatch) remove(do func(func(fd int)), id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.gone, id)
	if w.epoll != nil { // a closed socket has left it by itself
		do(func(fd int) { _ = syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_DEL, fd, &syscall.EpollEvent{}) })
	}
}

// noInput reports that the kernel is known to hold no input for c.
func noInput(c net.Conn) bool {
	do := descriptor(c)
	if do == nil {
		return false
	}
	var one [1]byte
	n, err := 1, error(nil)
	do(func(fd int) { n, _, err = syscall.Recvfrom(fd, one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT) })
	return n == 0 || err == syscall.EAGAIN
}

// descriptor returns how to reach the descriptor of c while it is open, or nil
// if it has none.
func descriptor(c net.Conn) func(func(fd int)) {
	switch c := c.(type) {
	case interface{ do(func(fd int)) error }: // fdConn
		return func(f func(fd int)) { _ = c.do(f) }
	case syscall.Conn:
		raw, err := c.SyscallConn()
		if err != nil {
			return nil
		}
		return func(f func(fd int)) { _ = raw.Control(func(fd uintptr) { f(int(fd)) }) }
	}
	return nil
}

func (w *peerWatch) start() error {
	if w.epoll != nil {
		return nil
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // for the runtime's poller to take it
		syscall.Close(fd)
		return err
	}
	w.fd, w.epoll = fd, os.NewFile(uintptr(fd), "epoll")
	w.gone = make(map[uint64]func())
	w.done = make(chan struct{})
	raw, err := w.epoll.SyscallConn()
	if err != nil {
		return err
	}
	go w.run(raw, w.done)
	return nil
}

// run waits for events until the epoll descriptor is closed.
func (w *peerWatch) run(raw syscall.RawConn, done chan struct{}) {
	defer close(done)
	events := make([]syscall.EpollEvent, 64)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			return
		}
		for _, e := range events[:n] {
			w.tell(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32)
		}
	}
}

func (w *peerWatch) tell(id uint64) {
	w.mu.Lock()
	gone := w.gone[id] // nil: removed meanwhile
	delete(w.gone, id)
	w.mu.Unlock()
	if gone != nil {
		gone()
	}
}

// close ends the goroutine. The watch can be used again.
func (w *peerWatch) close() {
	w.mu.Lock()
	epoll, done := w.epoll, w.done
	w.epoll = nil
	w.mu.Unlock()
	if epoll != nil {
		_ = epoll.Close()
		<-done
	}
}
