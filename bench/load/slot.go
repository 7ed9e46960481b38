//go:build linux

package load

// slot.go takes one request through connect, send and receive. Nothing here blocks,
// and a connection is in the epoll set only while it is open.

import (
	"syscall"
	"time"
)

const epollRDHUP = 0x2000 // syscall lacks it

const (
	wantRead  = syscall.EPOLLIN | epollRDHUP
	wantWrite = wantRead | syscall.EPOLLOUT
)

type slot struct {
	fd     int // -1 if not connected
	events uint32
	active bool // a request is in flight
	began  time.Duration
	sent   int
	got    []byte // the reply so far, if it takes more than one read
}

func (s *slot) close() {
	if s.fd >= 0 {
		_ = syscall.Close(s.fd)
	}
	s.fd, s.events = -1, 0
}

// start starts a request that was due at the given time.
func (r *runner) start(i int, due time.Duration) {
	s := &r.slots[i]
	s.active, s.began, s.sent, s.got = true, due, 0, s.got[:0]
	r.flight++
	switch {
	case s.fd >= 0:
		r.send(i)
	case !r.connect(i):
		r.blocked = append(r.blocked, i)
	}
}

// connect returns false if it has to be tried again.
func (r *runner) connect(i int) bool {
	fd, err := syscall.Socket(r.family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		r.done(i, bad)
		return true
	}
	switch err = syscall.Connect(fd, r.peer); err {
	case nil, syscall.EINPROGRESS:
		r.slots[i].fd = fd
		r.send(i)
		return true
	case syscall.EAGAIN:
		_ = syscall.Close(fd)
		return false
	}
	_ = syscall.Close(fd)
	r.done(i, bad)
	return true
}

func (r *runner) connectBlocked() {
	n := 0
	for n < len(r.blocked) && r.connect(r.blocked[n]) {
		n++
	}
	r.blocked = r.blocked[n:]
}

func (r *runner) send(i int) {
	s := &r.slots[i]
	n, err := syscall.Write(s.fd, r.request[s.sent:])
	if err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
		r.done(i, bad)
		return
	}
	s.sent += max(n, 0)
	events := uint32(wantRead)
	if s.sent < len(r.request) {
		events = wantWrite
	}
	if !r.watch(i, events) {
		r.done(i, bad)
	}
}

func (r *runner) watch(i int, events uint32) bool {
	s := &r.slots[i]
	if s.events == events {
		return true
	}
	op := syscall.EPOLL_CTL_MOD
	if s.events == 0 {
		op = syscall.EPOLL_CTL_ADD
	}
	s.events = events
	return syscall.EpollCtl(r.ep, op, s.fd, &syscall.EpollEvent{Events: events, Fd: int32(i)}) == nil
}

// event handles an epoll event on slot i's connection.
func (r *runner) event(i int, events uint32) {
	s := &r.slots[i]
	switch {
	case !s.active: // the server has closed a kept connection
		s.close()
	case events&^syscall.EPOLLOUT != 0:
		r.receive(i, events&(epollRDHUP|syscall.EPOLLHUP) != 0)
	default:
		r.send(i)
	}
}

// receive reads what has arrived. If ended is true, the server has closed the
// connection, and a read that doesn't fill the buffer is the last.
func (r *runner) receive(i int, ended bool) {
	s := &r.slots[i]
	n, err := syscall.Read(s.fd, r.buf)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return
	}
	if err != nil {
		r.done(i, bad)
		return
	}
	reply := r.buf[:n]
	if len(s.got) > 0 {
		s.got = append(s.got, reply...)
		reply = s.got
	}
	switch v := r.judge(reply, n == 0 || ended && n < len(r.buf)); {
	case v != more:
		r.done(i, v)
	case len(s.got) == 0:
		s.got = append(s.got, reply...)
	}
}
