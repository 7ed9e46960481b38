package scgi

// refuse.go owns the answers that the server gives by itself. Rule: whoever is
// refused can read why, in one line, in the protocol it spoke; and so can the
// operator, with the peer's address.

import (
	"fmt"
	"net"
	"net/http"
)

const (
	notSCGI = "This port speaks SCGI, not HTTP: a web server has to stand in front of it (nginx: scgi_pass).\n"

	// A TLS alert: fatal, unexpected_message.
	tlsAlert = "\x15\x03\x01\x00\x02\x02\x0a"
)

// refuse answers a request that is not served. first is its first byte, which
// tells who came to the wrong port.
func (s *Server) refuse(c *conn, first byte, err error) {
	r, ok := err.(*refusal)
	if !ok {
		r = &refusal{http.StatusBadRequest, err}
	}
	reply := ""
	switch {
	case 'A' <= first && first <= 'Z' || 'a' <= first && first <= 'z':
		r = &refusal{http.StatusBadRequest, fmt.Errorf("the peer seems to speak HTTP: %w", err)}
		reply = fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(notSCGI), notSCGI)
	case first == 0x16:
		r = &refusal{http.StatusBadRequest, fmt.Errorf("the peer seems to speak TLS: %w", err)}
		reply = tlsAlert
	default:
		reply = errorReply(r.status, r.Error())
	}
	s.count.refuse(r.status)
	s.logger().Warn("scgi: request refused", "status", r.status, "reason", r.reason, "peer", c.peer())
	_ = c.write([]byte(reply), nil)
	c.linger()
}

// errorReply is a CGI response of one line.
func errorReply(status int, text string) string {
	retry := ""
	if status == http.StatusServiceUnavailable {
		retry = "Retry-After: " + retryAfter + "\r\n"
	}
	return fmt.Sprintf("Status: %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n%sContent-Length: %d\r\n\r\n%s\n",
		status, http.StatusText(status), retry, len(text)+1, text)
}

// peer is the peer's address, for logs.
func (c *conn) peer() net.Addr { return c.rwc.RemoteAddr() }
