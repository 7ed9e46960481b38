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
	n, err := c.TryRead(buf)
	if err == syscall.EAGAIN {
		return false
	}
	if n == 0 {
		go s.dropEmpty(c)
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
	case err != nil:
		return nil, &refusal{status: statusOf(err), reason: err}
	case end == 0 || len(got) <= end:
		return nil, nil
	}
	all := string(got[start:]) // the only copy; what a handler keeps points into it
	block, rest := all[:end-start], all[end-start+1:]
	h, err := parseHeader(block, s.Strict)
	if err == nil && s.limits.bodyBytes >= 0 && h.length > s.limits.bodyBytes {
		err = errBodyLimit
	}
	if err != nil {
		return nil, &refusal{statusOf(err), err, readableEnv(block)}
	}
	return newExchange(c, Env{block}, h, rest), nil
}

// statusOf is the status of the answer to a request that breaks a rule.
func statusOf(reason error) int {
	switch reason {
	case errNetstringLimit, errHeaderMany:
		return http.StatusRequestHeaderFieldsTooLarge
	case errBodyLimit:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// awaitHeader waits for the rest of a header, on a goroutine of its own and
// without a worker.
func (s *Server) awaitHeader(c *conn, got []byte) {
	s.count.reading.Add(1)
	x, got, err := s.readHeader(c, got)
	s.count.reading.Add(-1)
	switch {
	case x != nil:
		_ = c.LimitRead(time.Time{})
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
		if err := c.Receive(func(b []byte) { got = s.appendInput(got, b) }); err != nil {
			return nil, got, headerEnd(err)
		}
		if x, err := s.begin(c, got); x != nil || err != nil {
			return x, got, err
		}
	}
}

// appendInput appends b to got, the beginning of a request. Its array doubles
// as bytes arrive, as append's does, but not past the end of the header.
func (s *Server) appendInput(got, b []byte) []byte {
	if n := len(got) + len(b); n > cap(got) {
		room := 2 * n
		if _, end, err := cutNetstring(got, s.limits.headerBytes); err == nil && end > 0 {
			room = max(n, min(room, end+1))
		}
		got = append(make([]byte, 0, room), got...)
	}
	return append(got, b...)
}

var (
	errHeaderTimeout = errors.New("the header was not complete in time")
	errHeaderCut     = errors.New("the input ended before the header was complete")
)

// headerEnd is the refusal for a header that broke off with err.
func headerEnd(err error) error {
	var t interface{ Timeout() bool }
	if errors.As(err, &t) && t.Timeout() {
		return &refusal{status: http.StatusRequestTimeout, reason: errHeaderTimeout}
	}
	return &refusal{status: http.StatusBadRequest, reason: errHeaderCut}
}

// setHeaderDeadline is under the lock because Shutdown shortens it.
func (s *Server) setHeaderDeadline(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.LimitRead(deadline(s.headerTimeout()))
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
