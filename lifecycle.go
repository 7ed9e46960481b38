package scgi

// lifecycle.go tracks connections and listeners, and ends them: in order by Shutdown, at
// once by Close. Every connection is tracked from before its first read until it is
// closed, which linger, abort or close does, and Shutdown counts instead of polling.

import (
	"context"
	"sync/atomic"

	"example.com/scgi/internal/socket"
)

// conn is an open connection.
type conn struct {
	socket.Conn
	srv  *Server
	base context.Context
	x    atomic.Pointer[exchange] // nil until the header is read

	prev, next *conn // in srv.conns
}

// watch calls gone when the peer goes away, until stop is called.
func (c *conn) watch(gone func()) (stop func()) {
	eof := !c.srv.AllowHalfClose
	if stop, ok := c.srv.watch.Add(&c.Conn, eof, gone); ok {
		return stop
	}
	a := c.ReadAhead(eof, gone)
	c.x.Load().body.whenRead(a.Start)
	return a.Stop
}

// linger ends the connection after a reply whose peer may still send, or has sent what
// was not read: closing at once would reset the connection and take the reply with it.
func (c *conn) linger() {
	c.Linger()
	c.close()
}

// abort cuts the connection, so that what the web server has does not pass for a whole
// reply.
func (c *conn) abort() {
	c.Abort()
	c.srv.untrack(c)
}

func (c *conn) close() {
	_ = c.Close()
	c.srv.untrack(c)
}

// track adds c to what Shutdown waits for and Close closes. It reports whether
// there is room for another.
func (s *Server) track(c *conn) (room bool) {
	s.count.accepted.Add(1)
	s.mu.Lock()
	c.prev, c.next = &s.conns, s.conns.next
	c.prev.next, c.next.prev = c, c
	s.open++
	s.mostOpen = max(s.mostOpen, s.open)
	room = s.open < s.maxConns
	s.mu.Unlock()
	if s.killed.Load() {
		_ = c.Close()
	}
	return room
}

// untrack is idempotent.
func (s *Server) untrack(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.next == nil {
		return
	}
	c.prev.next, c.next.prev = c.next, c.prev
	c.prev, c.next = nil, nil
	s.open--
	s.room.Broadcast()
	s.checkDrained()
}

// awaitRoom waits until another connection may be open.
func (s *Server) awaitRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.open >= s.maxConns && !s.killed.Load() {
		s.room.Wait()
	}
}

func (s *Server) addAcceptor(a *socket.Acceptor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStopping() {
		return false
	}
	s.acceptors[a] = struct{}{}
	if a.IsShared() && s.MaxConns == 0 { // a sibling may have a worker free
		s.maxConns = limit(s.MaxWorkers, DefaultMaxWorkers)
	}
	return true
}

func (s *Server) removeAcceptor(a *socket.Acceptor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.acceptors, a)
	s.checkDrained()
}

func (s *Server) isStopping() bool {
	s.init()
	return s.stopping.Err() != nil
}

// checkDrained closes drained, the pool and the watch once the server is stopping and
// nothing is left. The caller holds the lock.
func (s *Server) checkDrained() {
	if !s.isStopping() || s.open > 0 || len(s.acceptors) > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
		s.pool.close()
		s.watch.Close()
	}
}

// stop ends accepting, and drops the backlogs if cut is true. The caller holds the lock.
func (s *Server) stop(cut bool) {
	s.halt(ErrServerClosed)
	for a := range s.acceptors {
		a.Interrupt(cut)
	}
	s.room.Broadcast()
	s.checkDrained()
}

// Shutdown ends the server without cutting a request: it stops listening, serves
// the connections that wait in the backlogs and the requests that are under way,
// and returns nil. If ctx ends first it returns ctx's error; Close then ends the
// rest. A connection that has not sent its header has 5 seconds left for it. On
// Linux, while the kernel holds back TCP connections that have sent nothing,
// Shutdown listens on, for a second and a half at most. It does not wait for
// hijacked connections; RegisterOnShutdown can tell them, and streams, to end.
//
// Serve and ListenAndServe return ErrServerClosed at once when Shutdown is
// called: a program must wait for Shutdown to return before it exits. A Server
// can't be used again.
func (s *Server) Shutdown(ctx context.Context) error {
	s.init()
	s.mu.Lock()
	s.stop(false)
	for _, f := range s.onShutdown {
		go f()
	}
	for c := s.conns.next; c != &s.conns; c = c.next {
		if c.x.Load() == nil && s.headerTimeout() == shutdownHeaderTimeout {
			_ = c.LimitRead(shutdownHeaderTimeout)
		}
	}
	s.mu.Unlock()
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RegisterOnShutdown registers a function for Shutdown to call, each time on a
// goroutine of its own, so that streams and hijacked connections learn that they
// should end. Shutdown does not wait for f, and Close does not call it.
func (s *Server) RegisterOnShutdown(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onShutdown = append(s.onShutdown, f)
}

// Close ends the server at once: listeners are closed, connections cut, the
// contexts of running requests cancelled. It does not wait for handlers to
// return, nor touch hijacked connections.
func (s *Server) Close() error {
	s.init()
	s.killed.Store(true)
	var open []*conn
	s.mu.Lock()
	s.stop(true)
	for c := s.conns.next; c != &s.conns; c = c.next {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		x := c.x.Load()
		if x != nil && x.whole.Load() {
			_ = c.Close()
		} else {
			c.Abort()
		}
		if x != nil {
			x.ctx.end()
		}
	}
	return nil
}
