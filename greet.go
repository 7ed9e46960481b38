package scgi

// greet.go admits a new connection, reads it until its header is complete, and answers
// the requests that the server refuses. SCGI has no authentication, so a peer that no
// allow list matches, by what the kernel says about it, is closed before a byte is read.
// A connection holds no worker meanwhile, its memory grows with the bytes that arrive
// and never with the length that they announce, and the accept loop does not wait. A
// refused peer reads the reason in one line of the protocol that it spoke; the log has
// it with the peer's address and, where the header could be read, the client's address
// and request.

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/scgi/internal/socket"
)

// checkAllow fails if the lists name users and the system can't name those of l's peers.
func (s *Server) checkAllow(l net.Listener) error {
	if len(s.AllowUIDs)+len(s.AllowGIDs) > 0 && l.Addr().Network() == "unix" && !socket.KnowsPeers {
		return fmt.Errorf("scgi: AllowUIDs and AllowGIDs on this system: %w", errors.ErrUnsupported)
	}
	return nil
}

func (s *Server) isAllowed(c *conn) bool {
	switch {
	case len(s.AllowFrom)+len(s.AllowUIDs)+len(s.AllowGIDs) == 0:
		return true
	case c.RemoteAddr().Network() == "unix":
		return s.isAllowedUser(c)
	case len(s.AllowFrom) == 0:
		return true
	}
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(s.AllowFrom, func(p netip.Prefix) bool { return p.Contains(ip) })
}

func (s *Server) isAllowedUser(c *conn) bool {
	if len(s.AllowUIDs)+len(s.AllowGIDs) == 0 {
		return true
	}
	uid, gid, err := c.PeerUser()
	return err == nil && (slices.Contains(s.AllowUIDs, uid) || slices.Contains(s.AllowGIDs, gid))
}

// turnAway closes the connection of a peer that no list matches. It logs the first one,
// and again each time their number has doubled.
func (s *Server) turnAway(c *conn) {
	n := s.count.turnedAway.Add(1)
	if n&(n-1) == 0 {
		s.logger().Warn("scgi: peer is not allowed", peerOf(c), "so_far", n)
	}
	go c.close() // which can take as long as the peer likes: see package socket
}

// peerOf returns the attribute of a log line that names c's peer: on a unix socket, whose
// peers have no address, the user and primary group of the process.
func peerOf(c *conn) slog.Attr {
	if c.RemoteAddr().Network() == "unix" {
		if uid, gid, err := c.PeerUser(); err == nil {
			return slog.Group("", "uid", uid, "gid", gid)
		}
	}
	return slog.Any("peer", c.RemoteAddr())
}

// admit closes c if its peer may not connect; otherwise it sets c's context.
func (s *Server) admit(c *conn) bool {
	if !s.isAllowed(c) {
		s.turnAway(c)
		return false
	}
	if s.ConnContext != nil {
		if c.base = s.ConnContext(c.base, c.NetConn()); c.base == nil {
			panic("scgi: ConnContext returned a nil context")
		}
	}
	return true
}

// greet reads what has arrived on a new connection. A complete header, which is the
// usual case, goes straight to a worker. It reports false if nothing has arrived.
func (s *Server) greet(c *conn, buf []byte) bool {
	n, err := c.TryRead(buf)
	if err == syscall.EAGAIN {
		return false
	}
	if n == 0 {
		go s.dropEmpty(c)
		return true
	}
	x, refused := s.begin(c, buf[:n])
	switch {
	case refused != nil:
		go s.refuse(c, buf[0], refused)
	case x == nil:
		s.greetLater(c, append([]byte(nil), buf[:n]...))
	default:
		s.pool.submit(x)
	}
	return true
}

// greetAgain greets the connections a second time, which is cheaper than a goroutine
// that waits for each: a web server sends its header a moment after it connects.
func (s *Server) greetAgain(late []*conn, buf []byte) []*conn {
	for i, c := range late {
		late[i] = nil
		if !s.greet(c, buf) {
			s.greetLater(c, nil)
		}
	}
	return late[:0]
}

// greetLater starts the goroutine that waits for the rest of a header. It sets the
// deadline here, since that needs more stack than a goroutine has at first.
func (s *Server) greetLater(c *conn, got []byte) {
	err := s.setHeaderDeadline(c)
	go s.awaitHeader(c, got, err)
}

// begin returns the exchange whose header is in got; nil, nil while the header is
// incomplete.
func (s *Server) begin(c *conn, got []byte) (*exchange, *refusal) {
	start, end, err := cutNetstring(got, limit(s.MaxHeaderBytes, DefaultMaxHeaderBytes))
	switch {
	case err != nil:
		return nil, &refusal{status: statusOf(err), reason: err}
	case end == 0 || len(got) <= end:
		return nil, nil
	}
	all := string(got[start:]) // the only copy; what a handler keeps points into it
	block, rest := all[:end-start], all[end-start+1:]
	h, err := parseHeader(block, s.Strict)
	if most := cmp.Or(s.MaxBodyBytes, DefaultMaxBodyBytes); err == nil && most >= 0 && h.length > most {
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

// awaitHeader waits for the rest of a header. It runs on a goroutine of its own, and
// holds no worker.
func (s *Server) awaitHeader(c *conn, got []byte, err error) {
	s.count.reading.Add(1)
	x, got, refused := s.readHeader(c, got, err)
	s.count.reading.Add(-1)
	switch {
	case x != nil:
		s.endHeaderDeadline(c)
		s.pool.submit(x)
	case len(got) == 0:
		s.dropEmpty(c)
	default:
		s.refuse(c, got[0], refused)
	}
}

func (s *Server) readHeader(c *conn, got []byte, err error) (*exchange, []byte, *refusal) {
	for err == nil {
		if err = c.Receive(func(b []byte) { got = s.appendInput(got, b) }); err != nil {
			break
		}
		if x, refused := s.begin(c, got); x != nil || refused != nil {
			return x, got, refused
		}
	}
	return nil, got, headerEnd(err)
}

// appendInput appends b to got, the beginning of a request. Its array doubles
// as bytes arrive, as append's does, but not past the end of the header.
func (s *Server) appendInput(got, b []byte) []byte {
	if n := len(got) + len(b); n > cap(got) {
		room := 2 * n
		if _, end, err := cutNetstring(got, limit(s.MaxHeaderBytes, DefaultMaxHeaderBytes)); err == nil && end > 0 {
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

// headerEnd returns the refusal of a header that err has cut off.
func headerEnd(err error) *refusal {
	var t net.Error
	if errors.As(err, &t) && t.Timeout() {
		return &refusal{status: http.StatusRequestTimeout, reason: errHeaderTimeout}
	}
	return &refusal{status: http.StatusBadRequest, reason: errHeaderCut}
}

// setHeaderDeadline takes the lock because Shutdown shortens the deadline.
func (s *Server) setHeaderDeadline(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.LimitRead(s.headerTimeout())
}

func (s *Server) headerTimeout() time.Duration {
	timeout := cmp.Or(s.ReadHeaderTimeout, DefaultReadHeaderTimeout)
	if s.isStopping() && (timeout < 0 || timeout > shutdownHeaderTimeout) {
		return shutdownHeaderTimeout
	}
	return timeout
}

// endHeaderDeadline takes the lock so that Shutdown can't set its deadline for the header
// afterwards.
func (s *Server) endHeaderDeadline(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = c.LimitRead(0)
}

// dropEmpty ends a connection on which nothing arrived. Web servers make such
// connections, to probe a socket or for a request that they then give up, so there is
// neither an answer nor a log line.
func (s *Server) dropEmpty(c *conn) {
	s.count.empty.Add(1)
	c.close()
}

const (
	notSCGI = "This port speaks SCGI, not HTTP: a web server has to stand in front of it (nginx: scgi_pass).\n"

	// A TLS alert: fatal, unexpected_message.
	tlsAlert = "\x15\x03\x01\x00\x02\x02\x0a"
)

// refuse answers a request that is not served. Its first byte tells HTTP and TLS from
// malformed SCGI.
func (s *Server) refuse(c *conn, first byte, r *refusal) {
	reply := errorReply(r.status, r.reason.Error())
	switch {
	case 'A' <= first && first <= 'Z' || 'a' <= first && first <= 'z':
		r.reason = fmt.Errorf("the peer seems to speak HTTP: %w", r.reason)
		reply = fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(notSCGI), notSCGI)
	case first == 0x16:
		r.reason = fmt.Errorf("the peer seems to speak TLS: %w", r.reason)
		reply = tlsAlert
	}
	s.count.refuse(r.status)
	s.logger().Warn("scgi: request refused", "status", r.status, "reason", r.reason, whose(r.env), "peer", c.RemoteAddr())
	_, _ = c.Write([]byte(reply), nil)
	c.linger()
}

// readableEnv returns the Env of a header block that breaks some rule; it is
// empty if the block does not divide into names and values.
func readableEnv(block string) Env {
	if !strings.HasSuffix(block, "\x00") || strings.Count(block, "\x00")%2 != 0 {
		return Env{}
	}
	return Env{block}
}

// whose returns the attributes of a log line that identify env's request. Each value is
// cut, since clients could write 64 KiB a line to the log otherwise.
func whose(env Env) slog.Attr {
	if env == (Env{}) {
		return slog.Attr{} // which handlers leave out
	}
	return slog.Group("", "method", excerpt(env.Get("REQUEST_METHOD")),
		"uri", excerpt(env.Get("REQUEST_URI")), "remote", excerpt(env.Get("REMOTE_ADDR")))
}

// excerpt returns s, or the beginning of a long one.
func excerpt(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// errorReply returns a CGI response whose body is the line text.
func errorReply(status int, text string) string {
	retry := ""
	if status == http.StatusServiceUnavailable {
		retry = "Retry-After: " + retryAfter + "\r\n"
	}
	return fmt.Sprintf("Status: %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n%sContent-Length: %d\r\n\r\n%s\n",
		status, http.StatusText(status), retry, len(text)+1, text)
}
