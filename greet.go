package scgi

// greet.go owns a new connection until its header is complete. Rule: no worker
// is held meanwhile, memory grows with the bytes that came and never with the
// length that was announced, and the accept loop does not wait.

import (
	"errors"
	"net/http"
	"syscall"
	"time"
)

// greet reads what a new connection has brought. If its header is there
// already, as is usual, it goes straight to a worker. It reports false if there
// is nothing yet.
func (s *Server) greet(c *conn, buf []byte) bool {
	n, err := c.tryRead(buf)
	if err == syscall.EAGAIN {
		return false
	}
	if n == 0 {
		s.dropEmpty(c)
		return true
	}
	x, err := s.begin(c, buf[:n])
	switch {
	case err != nil:
		go s.refuse(c, buf[0], err)
	case x == nil:
		go s.awaitHeader(c, append([]byte(nil), buf[:n]...))
	default:
		s.pool.submit(x)
	}
	return true
}

// greetAgain asks the connections a second time, which is cheaper than to wait
// for each: a web server sends its header a moment after it connects.
func (s *Server) greetAgain(late []*conn, buf []byte) []*conn {
	for i, c := range late {
		late[i] = nil
		if !s.greet(c, buf) {
			go s.awaitHeader(c, nil)
		}
	}
	return late[:0]
}

// begin makes an exchange of the header in got; nil, nil while it is
// incomplete.
func (s *Server) begin(c *conn, got []byte) (*exchange, error) {
	start, end, err := cutNetstring(got, s.limits.headerBytes)
	switch {
	case err == errNetstringLimit:
		return nil, &refusal{http.StatusRequestHeaderFieldsTooLarge, err}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, err}
	case end == 0 || len(got) <= end:
		return nil, nil
	}
	all := string(got[start:]) // the only copy; what a handler keeps points into it
	block, rest := all[:end-start], all[end-start+1:]
	h, err := parseHeader(block, s.Strict)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err}
	}
	if s.limits.bodyBytes >= 0 && h.length > s.limits.bodyBytes {
		return nil, &refusal{http.StatusRequestEntityTooLarge, errBodyLimit}
	}
	return newExchange(c, Env{block}, h, rest), nil
}

// awaitHeader waits for the rest of a header, on a goroutine of its own and
// without a worker. What it holds grows as bytes arrive, never on the word of
// the announced length.
func (s *Server) awaitHeader(c *conn, got []byte) {
	s.count.reading.Add(1)
	x, got, err := s.readHeader(c, got)
	s.count.reading.Add(-1)
	switch {
	case x != nil:
		_ = c.rwc.SetReadDeadline(time.Time{})
		s.pool.submit(x)
	case len(got) == 0:
		s.dropEmpty(c)
	default:
		s.refuse(c, got[0], err)
	}
}

func (s *Server) readHeader(c *conn, got []byte) (*exchange, []byte, error) {
	if err := s.setHeaderDeadline(c); err != nil {
		return nil, nil, err
	}
	for {
		if len(got) > largeHeader && !s.admitLarge(c) {
			return nil, got, &refusal{http.StatusServiceUnavailable, errLargeHeaders}
		}
		if err := c.receive(func(b []byte) { got = append(got, b...) }); err != nil {
			return nil, got, headerEnd(err)
		}
		if x, err := s.begin(c, got); x != nil || err != nil {
			return x, got, err
		}
	}
}

// admitLarge waits for a place among the connections with large headers, which
// c keeps until its end. What it has of ReadHeaderTimeout begins anew.
func (s *Server) admitLarge(c *conn) bool {
	if c.large {
		return true
	}
	var expired <-chan time.Time
	if timeout := s.headerTimeout(); timeout >= 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		expired = t.C
	}
	select {
	case s.large <- struct{}{}:
		c.large = true
		return s.setHeaderDeadline(c) == nil
	case <-expired:
		return false
	}
}

var (
	errLargeHeaders  = errors.New("too many large headers at a time")
	errHeaderTimeout = errors.New("the header was not complete in time")
	errHeaderCut     = errors.New("the input ended before the header was complete")
)

// headerEnd is the refusal for a header that broke off with err.
func headerEnd(err error) error {
	var t interface{ Timeout() bool }
	if errors.As(err, &t) && t.Timeout() {
		return &refusal{http.StatusRequestTimeout, errHeaderTimeout}
	}
	return &refusal{http.StatusBadRequest, errHeaderCut}
}

// setHeaderDeadline is under the lock because Shutdown shortens it.
func (s *Server) setHeaderDeadline(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.rwc.SetReadDeadline(deadline(s.headerTimeout()))
}

func (s *Server) headerTimeout() time.Duration {
	timeout := s.limits.readHeaderTimeout
	if s.isStopping() && (timeout < 0 || timeout > shutdownHeaderTimeout) {
		return shutdownHeaderTimeout
	}
	return timeout
}

// dropEmpty ends a connection that brought nothing: web servers make them, to
// probe a socket or when they change their mind, so nothing is said.
func (s *Server) dropEmpty(c *conn) {
	s.count.empty.Add(1)
	c.close()
}
