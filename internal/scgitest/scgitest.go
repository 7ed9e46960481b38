// Package scgitest has what the tests of several packages share: a server on each kind of
// listener, a client that sends raw bytes, and the vectors.
package scgitest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/scgi/internal/listen"
	"example.com/scgi/internal/wire"
)

// Patience bounds a wait that is short unless the code under test is broken.
const Patience = 20 * time.Second

// Kinds are the kinds of listener that every test of the server runs on: those that
// scgi.Listen opens, package net's, and package net's behind a type that hides them.
var Kinds = []string{"unix", "tcp", "unix net", "tcp net", "unix portable", "tcp portable"}

// Listen opens a listener of a kind. Serve closes it; t does not.
func Listen(t testing.TB, kind string) net.Listener {
	t.Helper()
	network, whose, _ := strings.Cut(kind, " ")
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(TempDir(t), "s")
	}
	var l net.Listener
	var err error
	switch {
	case whose != "":
		l, err = net.Listen(network, addr)
	case network == "unix":
		l, err = listen.One("unix:" + addr)
	default:
		l, err = listen.One(addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	if whose == "portable" {
		l = hidden{l, l.(deadliner)}
	}
	return l
}

// hidden shows only the methods that package net's listeners have on every system.
type hidden struct {
	net.Listener
	deadliner
}

type deadliner interface{ SetDeadline(time.Time) error }

// TempDir returns a folder whose name is short enough for a socket's path.
func TempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "scgi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// OnEachKind runs f as a subtest with each kind of listener.
func OnEachKind(t *testing.T, f func(t *testing.T, l net.Listener)) {
	for _, kind := range Kinds {
		t.Run(kind, func(t *testing.T) { f(t, Listen(t, kind)) })
	}
}

// Buffer is a log that may be read while it is being written.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Server is *scgi.Server. This package does not import the root package, so that the root's
// own tests can use it.
type Server interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

// Serve serves on l until the test ends, and waits for that. s.Serve must then return the
// error closed.
func Serve(t testing.TB, s Server, l net.Listener, closed error) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
			s.Close()
		}
		if err := <-served; err != closed {
			t.Errorf("Serve returned %v", err)
		}
	})
}

// Start is Serve with the log in the returned buffer, unless logger, a field of s, is set.
func Start(t testing.TB, s Server, logger **slog.Logger, l net.Listener, closed error) *Buffer {
	t.Helper()
	log := new(Buffer)
	if *logger == nil {
		*logger = slog.New(slog.NewTextHandler(log, nil))
	}
	Serve(t, s, l, closed)
	return log
}

// Dial connects to addr and closes the connection when the test ends.
func Dial(t testing.TB, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(Patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// Encode returns a request with body and these alternating names and values.
func Encode(body string, namesAndValues ...string) string {
	block := strings.Join(namesAndValues, "\x00") + "\x00"
	return fmt.Sprintf("%d:%s,%s", len(block), block, body)
}

// Get returns a GET request for uri.
func Get(uri string) string {
	return Encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", uri, "SERVER_PROTOCOL", "HTTP/1.1", "HTTP_HOST", "example.com")
}

// Post returns a POST request with body for uri.
func Post(uri, body string) string {
	return Encode(body, "CONTENT_LENGTH", strconv.Itoa(len(body)), "SCGI", "1", "REQUEST_METHOD", "POST", "REQUEST_URI", uri, "SERVER_PROTOCOL", "HTTP/1.1", "HTTP_HOST", "example.com")
}

// Ask sends each chunk with one write and returns the whole reply.
func Ask(t testing.TB, addr net.Addr, chunks ...string) string {
	t.Helper()
	return ask(t, addr, chunks, func(net.Conn) {})
}

// AskHalfClosed is Ask for truncated input: it shuts down the writing side after the chunks.
func AskHalfClosed(t testing.TB, addr net.Addr, chunks []string) string {
	t.Helper()
	return ask(t, addr, chunks, func(c net.Conn) { c.(interface{ CloseWrite() error }).CloseWrite() })
}

func ask(t testing.TB, addr net.Addr, chunks []string, sent func(net.Conn)) string {
	t.Helper()
	c := Dial(t, addr)
	defer c.Close()
	for _, chunk := range chunks {
		if _, err := io.WriteString(c, chunk); err != nil {
			break // an early reply may have arrived
		}
	}
	sent(c)
	reply, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("reading the reply: %v (after %q)", err, reply)
	}
	return string(reply)
}

// A Reply is a parsed CGI response.
type Reply struct {
	Status int
	Header http.Header
	Body   string
}

// ParseReply parses raw and fails the test if it is not a well-formed CGI response.
func ParseReply(t testing.TB, raw string) Reply {
	t.Helper()
	head, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		t.Fatalf("no header block in %q", raw)
	}
	r := Reply{Header: make(http.Header), Body: body}
	for i, line := range strings.Split(head, "\r\n") {
		name, value, ok := strings.Cut(line, ": ")
		if strings.HasPrefix(line, "HTTP/1.1 ") {
			name, value, ok = "Status", line[9:], true
		}
		if !ok || !wire.IsToken(name) || (name == "Status") != (i == 0) {
			t.Fatalf("line %q in the header of %q", line, raw)
		}
		if i == 0 {
			r.Status, _ = strconv.Atoi(value[:3])
			continue
		}
		r.Header.Add(name, value)
	}
	return r
}

// Pieces returns several splits of s, as a stream may deliver it.
func Pieces(s string) map[string][]string {
	return map[string][]string{
		"whole":     {s},
		"byte-wise": strings.Split(s, ""),
		"halves":    {s[:len(s)/2], s[len(s)/2:]},
	}
}

// Within returns a context with a timeout of d.
func Within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// Exchange sends request on c and returns a channel that delivers the whole reply.
func Exchange(c net.Conn, request string) chan string {
	reply := make(chan string, 1)
	go func() {
		io.WriteString(c, request)
		b, _ := io.ReadAll(c)
		c.Close()
		reply <- string(b)
	}()
	return reply
}

// WriterFunc makes a function an io.Writer.
type WriterFunc func([]byte) (int, error)

// Write calls f.
func (f WriterFunc) Write(p []byte) (int, error) { return f(p) }

// ReaderFunc makes a function an io.Reader.
type ReaderFunc func([]byte) (int, error)

// Read calls f(p).
func (f ReaderFunc) Read(p []byte) (int, error) { return f(p) }

// PipeListener is a listener of net.Pipe connections, for tests in a synctest bubble.
type PipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewPipeListener returns a listener that Dial connects to.
func NewPipeListener() *PipeListener {
	return &PipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial returns the client's end of a connection once Accept has taken the other.
func (l *PipeListener) Dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// Accept implements net.Listener.
func (l *PipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (l *PipeListener) Addr() net.Addr { return &net.UnixAddr{Net: "pipe"} }

// Close implements net.Listener.
func (l *PipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// MemoryInUse returns the bytes of heap and stacks in use after a collection.
func MemoryInUse() int64 {
	runtime.GC()
	runtime.GC() // a sync.Pool frees its buffers at the second collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// FormPost returns a POST request that uploads a file of size bytes.
func FormPost(uri string, size int) string {
	form := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n" + strings.Repeat("x", size) + "\r\n--b--\r\n"
	return Encode(form, "CONTENT_LENGTH", strconv.Itoa(len(form)), "SCGI", "1", "REQUEST_METHOD", "POST", "REQUEST_URI", uri,
		"SERVER_PROTOCOL", "HTTP/1.1", "HTTP_HOST", "h", "CONTENT_TYPE", "multipart/form-data; boundary=b")
}
