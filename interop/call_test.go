package interop_test

// call_test.go is the HTTP client. It sends a request as plain bytes, so that a web server
// sees what browsers and other clients really send, and returns the answer with any error.
// It cleans, follows and retries nothing.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A call is an HTTP request.
type call struct {
	method  string // empty is GET
	target  string
	host    string   // empty is interop.test
	fields  []string // "Name: value"
	body    string
	chunked bool // send the body in chunks, without its length
}

// An answer is the result of a call. Err is non-nil if the response was incomplete.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func get(target string) call { return call{target: target} }

func (c call) name() string {
	if c.method == "" {
		return http.MethodGet
	}
	return c.method
}

// head returns the request up to its body.
func (c call) head() string {
	host := c.host
	if host == "" {
		host = "interop.test"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", c.name(), c.target, host)
	for _, f := range c.fields {
		b.WriteString(f + "\r\n")
	}
	switch {
	case c.chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	case c.body != "" || c.name() == http.MethodPost || c.name() == http.MethodPut:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(c.body))
	}
	b.WriteString("Connection: close\r\n\r\n")
	return b.String()
}

// payload returns the body as it is sent.
func (c call) payload() string {
	if !c.chunked {
		return c.body
	}
	var b strings.Builder
	for rest := c.body; rest != ""; {
		chunk := rest[:min(len(rest), 1000)]
		rest = rest[len(chunk):]
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(chunk), chunk)
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// dial connects to a web server, with a deadline.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// do makes the call at addr. It reads the answer while it writes the request, since the
// answer may come before the whole request is sent.
func (c call) do(t *testing.T, addr string) answer {
	t.Helper()
	conn := dial(t, addr)
	defer conn.Close()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(conn, c.head()+c.payload())
	}()
	a := readAnswer(bufio.NewReader(conn), c.name())
	_ = conn.Close()
	<-written
	return a
}

func readAnswer(r *bufio.Reader, method string) answer {
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	var body strings.Builder
	_, err = io.Copy(&body, resp.Body)
	return answer{resp.StatusCode, resp.Header, body.String(), err}
}

// ok ends the test unless a is complete and has this status.
func (a answer) ok(t *testing.T, status int) answer {
	t.Helper()
	if a.err != nil || a.status != status {
		t.Fatalf("got status %d, error %v, body %.200q; want %d", a.status, a.err, a.body, status)
	}
	return a
}

// isWhole reports whether a client takes a for a complete success.
func (a answer) isWhole() bool {
	return a.err == nil && a.status == http.StatusOK
}
