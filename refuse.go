package scgi

// refuse.go owns the answers that the server gives by itself. Rule: a refused
// peer reads the reason in one line of the protocol it spoke; the operator reads
// it in the log, with the peer's address and, where the header could be read, the
// client's address and request.

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
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
		r = &refusal{status: http.StatusBadRequest, reason: err}
	}
	reply := ""
	switch {
	case 'A' <= first && first <= 'Z' || 'a' <= first && first <= 'z':
		r = &refusal{status: http.StatusBadRequest, reason: fmt.Errorf("the peer seems to speak HTTP: %w", err)}
		reply = fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(notSCGI), notSCGI)
	case first == 0x16:
		r = &refusal{status: http.StatusBadRequest, reason: fmt.Errorf("the peer seems to speak TLS: %w", err)}
		reply = tlsAlert
	default:
		reply = errorReply(r.status, r.Error())
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

// whose says in a log line whose request env is. A log that a client can write
// to must not grow by 64 KiB a line, so each value is cut.
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

// errorReply is a CGI response of one line.
func errorReply(status int, text string) string {
	retry := ""
	if status == http.StatusServiceUnavailable {
		retry = "Retry-After: " + retryAfter + "\r\n"
	}
	return fmt.Sprintf("Status: %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n%sContent-Length: %d\r\n\r\n%s\n",
		status, http.StatusText(status), retry, len(text)+1, text)
}
