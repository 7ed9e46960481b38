package gateway

// fake_test.go has the SCGI servers that the tests run against: scripted servers on sockets,
// and connections without a network. They have their own SCGI code and share none with the
// package.

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"example.com/scgi/internal/scgitest"
)

// fakeConn is the fake server's end of a connection.
type fakeConn struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

// fakeServer runs script on each connection, on network "tcp" or "unix". It returns its
// address in Listen's grammar.
func fakeServer(t *testing.T, network string, script func(c *fakeConn)) string {
	t.Helper()
	addr, prefix := "127.0.0.1:0", ""
	if network == "unix" {
		addr, prefix = filepath.Join(shortTempDir(t), "s"), "unix:"
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				script(newFakeConn(t, c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return prefix + l.Addr().String()
}

func newFakeConn(t *testing.T, c net.Conn) *fakeConn {
	return &fakeConn{c, t, bufio.NewReader(c)}
}

// header reads the header block and returns its alternating names and values.
func (c *fakeConn) header() []string {
	size, _ := c.in.ReadString(':')
	n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
	if err != nil {
		c.t.Errorf("fake server: netstring of length %q", size)
		return nil
	}
	block := make([]byte, n+1)
	if _, err := io.ReadFull(c.in, block); err != nil || !strings.HasSuffix(string(block), "\x00,") {
		c.t.Errorf("fake server: header %q: %v", block, err)
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(block), "\x00,"), "\x00")
}

// request reads the header block and the body.
func (c *fakeConn) request() (vars map[string]string, body string) {
	pairs := c.header()
	vars = make(map[string]string)
	for i := 0; i+1 < len(pairs); i += 2 {
		if _, twice := vars[pairs[i]]; twice {
			c.t.Errorf("fake server: %s twice", pairs[i])
		}
		vars[pairs[i]] = pairs[i+1]
	}
	n, _ := strconv.Atoi(vars["CONTENT_LENGTH"])
	b := make([]byte, n)
	if n, err := io.ReadFull(c.in, b); err != nil {
		c.t.Errorf("fake server: %d bytes of %s of body: %v", n, vars["CONTENT_LENGTH"], err)
	}
	return vars, string(b)
}

func (c *fakeConn) send(s string) { _, _ = io.WriteString(c, s) }

// drain reads until the client ends the connection.
func (c *fakeConn) drain() { _, _ = io.Copy(io.Discard, c.in) }

// fakeAnswer returns a script that reads a request and sends reply.
func fakeAnswer(reply string) func(*fakeConn) {
	return func(c *fakeConn) {
		c.request()
		c.send(reply)
	}
}

// stubConn is a connection without a peer. Read returns reply; Write calls write, or drops
// its bytes.
type stubConn struct {
	net.Conn // nil
	reply    io.Reader
	write    func([]byte) (int, error) // nil accepts everything
}

func (c *stubConn) Read(p []byte) (int, error) { return c.reply.Read(p) }

func (c *stubConn) Write(p []byte) (int, error) {
	if c.write == nil {
		return len(p), nil
	}
	return c.write(p)
}

func (c *stubConn) Close() error                     { return nil }
func (c *stubConn) SetDeadline(time.Time) error      { return nil }
func (c *stubConn) SetReadDeadline(time.Time) error  { return nil }
func (c *stubConn) SetWriteDeadline(time.Time) error { return nil }

// dialed returns a DialContext function that returns c.
func dialed(c net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return c, nil }
}

// roundTripOn sends a request on a connection without a peer, and reads reply from it.
func roundTripOn(method string, reply io.Reader) (*http.Response, error) {
	req, _ := http.NewRequest(method, "http://fe.test/", nil)
	return (&Transport{Addr: "x:1", DialContext: dialed(&stubConn{reply: reply})}).RoundTrip(req)
}

// replyChunkings are the ways in which a reply may arrive in pieces.
var replyChunkings = map[string]func(io.Reader) io.Reader{
	"whole":       func(r io.Reader) io.Reader { return r },
	"one byte":    iotest.OneByteReader,
	"halves":      iotest.HalfReader,
	"data at EOF": iotest.DataErrReader,
}

var errTest = errors.New("a test's error")

// shortTempDir returns a folder whose path is short enough for a socket.
func shortTempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "scgi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// sourceBody is a request body that records whether it was closed.
type sourceBody struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func newSourceBody(r io.Reader) *sourceBody {
	return &sourceBody{Reader: r, closed: make(chan struct{})}
}

func (b *sourceBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// wantClosed waits for Close, which may come just after the reply.
func (b *sourceBody) wantClosed(t *testing.T) {
	t.Helper()
	select {
	case <-b.closed:
	case <-time.After(5 * time.Second):
		t.Error("the body was not closed")
	}
}

// readerFunc makes a function an io.Reader.
type readerFunc = scgitest.ReaderFunc
