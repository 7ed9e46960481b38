package socket

import (
	"net"
	"os"
	"sync"
	"syscall"
)

// A Watch reports when the peers of connections go away. It looks at the state of sockets
// and never reads from them, so it works while there is unread input, and one goroutine
// serves any number of connections. The zero value is ready to use.
type Watch struct {
	mu     sync.Mutex
	epoll  *os.File        // nil before the first use and after Close
	ctl    syscall.RawConn // epoll's
	gone   map[uint64]func()
	lastID uint64
	done   chan struct{} // closed when the goroutine has ended
}

// Add calls gone, once, when c's peer goes away, until remove is called. On TCP the end of
// input is enough if eof is true; on a unix socket both sides must be shut down. Add
// reports false if c can't be watched.
func (w *Watch) Add(c *Conn, eof bool, gone func()) (remove func(), ok bool) {
	if c.s.control(func(int) {}) != nil {
		return nil, false // don't start the goroutine
	}
	ctl, id, err := w.register(gone)
	if err != nil {
		return nil, false
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLONESHOT, Fd: int32(id), Pad: int32(id >> 32)}
	if eof && c.RemoteAddr().Network() != "unix" {
		event.Events |= syscall.EPOLLRDHUP
	}
	if err := control(ctl, c, syscall.EPOLL_CTL_ADD, &event); err != nil {
		w.take(id)
		return nil, false
	}
	return func() {
		w.take(id)
		_ = control(ctl, c, syscall.EPOLL_CTL_DEL, &syscall.EpollEvent{})
	}, true
}

// control changes the watch of c in epoll. A closed descriptor leaves epoll by itself.
func control(epoll syscall.RawConn, c *Conn, op int, event *syscall.EpollEvent) error {
	err := error(net.ErrClosed)
	controlErr := epoll.Control(func(epfd uintptr) {
		if e := c.s.control(func(fd int) { err = syscall.EpollCtl(int(epfd), op, fd, event) }); e != nil {
			err = e
		}
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

func (w *Watch) register(gone func()) (ctl syscall.RawConn, id uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.start(); err != nil {
		return nil, 0, err
	}
	w.lastID++
	w.gone[w.lastID] = gone
	return w.ctl, w.lastID, nil
}

// start creates epoll and its goroutine. The caller holds the lock.
func (w *Watch) start() error {
	if w.epoll != nil {
		return nil
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // required by the runtime's poller
		syscall.Close(fd)
		return err
	}
	epoll := os.NewFile(uintptr(fd), "epoll")
	ctl, err := epoll.SyscallConn()
	if err != nil {
		epoll.Close()
		return err
	}
	w.epoll, w.ctl = epoll, ctl
	w.gone = make(map[uint64]func())
	w.done = make(chan struct{})
	go w.run(ctl, w.done)
	return nil
}

// run waits for events until epoll is closed.
func (w *Watch) run(ctl syscall.RawConn, done chan struct{}) {
	defer close(done)
	events := make([]syscall.EpollEvent, 64)
	for {
		n := 0
		err := ctl.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			return
		}
		for _, e := range events[:n] {
			if gone := w.take(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32); gone != nil {
				gone()
			}
		}
	}
}

// take removes an entry and returns its function, or nil if it was already taken.
func (w *Watch) take(id uint64) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := w.gone[id]
	delete(w.gone, id)
	return gone
}

// Close ends the watch and its goroutine. It can be used again.
func (w *Watch) Close() {
	w.mu.Lock()
	epoll, done := w.epoll, w.done
	w.epoll = nil
	w.mu.Unlock()
	if epoll != nil {
		_ = epoll.Close()
		<-done
	}
}
