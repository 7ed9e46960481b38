// Package scgitest holds what the tests of several packages share: a server on each
// kind of listener, a client that sends raw bytes, and the vectors.
package scgitest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
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

// Patience bounds a wait that takes no time unless the code under test is broken.
const Patience = 20 * time.Second

// Kinds are the listeners that every test of the server runs on: those that
// scgi.Listen opens, package net's, and package net's behind a type that hides
// them.
var Kinds = []string{"unix", "tcp", "unix net", "tcp net", "unix portable", "tcp portable"}

// Listen opens a listener of a kind. t closes none: Serve does.
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

// hidden shows only the methods that package net's listeners share on every
// system.
type hidden struct {
	net.Listener
	deadliner
}

type deadliner interface{ SetDeadline(time.Time) error }

// TempDir returns a folder whose short name leaves room for a socket's.
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

// Buffer is a log that may be read while it is written.
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

// Server is *scgi.Server. This package does not import it, so that the root
// package's own tests can use it.
type Server interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

// Serve serves on l until the test ends, and waits for that; closed is what
// s.Serve must return then.
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

// Dial connects to addr until the test ends.
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

// Encode returns a request with the names and values, and body.
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

// Ask sends each of the chunks with one write and returns the whole reply.
func Ask(t testing.TB, addr net.Addr, chunks ...string) string {
	t.Helper()
	c := Dial(t, addr)
	defer c.Close()
	for _, chunk := range chunks {
		if _, err := io.WriteString(c, chunk); err != nil {
			break // an early reply may be there all the same
		}
	}
	reply, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("reading the reply: %v (after %q)", err, reply)
	}
	return string(reply)
}

// Reply is a parsed CGI response.
type Reply struct {
	Status int
	Header http.Header
	Body   string
}

// ParseReply fails the test if raw is not a well-formed CGI response.
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

// Pieces returns s in the pieces that a stream may deliver it in.
func Pieces(s string) map[string][]string {
	return map[string][]string{
		"whole":     {s},
		"byte-wise": strings.Split(s, ""),
		"halves":    {s[:len(s)/2], s[len(s)/2:]},
	}
}

// A Vector is one of testdata/vectors/requests.json.
type Vector struct {
	Name, Input    string
	Expect, Strict string // a status, or "closed"
	Body           string // that the handler reads
	Short          bool   // reading it ends in an error
}

// GoesOn reports whether bytes follow the request. The server may close before
// they arrive.
func (v Vector) GoesOn() bool {
	size, rest, _ := strings.Cut(v.Input, ":")
	n, ok := wire.ParseDecimal(size)
	if !ok || v.Expect != "200" || int64(len(rest)) <= n {
		return false
	}
	_, length, _ := strings.Cut(rest[:n], "CONTENT_LENGTH\x00")
	length, _, _ = strings.Cut(length, "\x00")
	body, _ := wire.ParseDecimal(length)
	return int64(len(rest))-n-1 > body
}

// Vectors reads requests.json, whose README says what its fields mean.
func Vectors(t testing.TB) (vs []Vector) {
	var rows []struct {
		Name, Rule, Input, Body string
		Expect                  any // a status or "closed"
		Strict                  int
		Short                   bool
		Optional                bool // another server may differ
	}
	readVectors(t, "requests.json", &rows)
	for _, r := range rows {
		if r.Name == "" || r.Rule == "" {
			t.Fatalf("a vector has no name or no rule: %+v", r)
		}
		v := Vector{Name: r.Name, Input: fromLatin1(r.Input), Expect: fmt.Sprint(r.Expect), Body: fromLatin1(r.Body), Short: r.Short}
		v.Strict = v.Expect
		if r.Strict != 0 {
			v.Strict = strconv.Itoa(r.Strict)
		}
		vs = append(vs, v)
	}
	if len(vs) < 50 || vs[0].Name != "the specification's own example" {
		t.Fatalf("only %d vectors, or another one first", len(vs))
	}
	return vs
}

// A ReplyVector is one of testdata/vectors/replies.json.
type ReplyVector struct {
	Name, Rule, Method, Input string
	Status                    int
	Reason                    string
	Fields                    http.Header
	Body                      string
	Refuse                    string // why the client refuses it; the rest is empty then
	Optional                  bool   // another client may differ
}

// Replies reads replies.json, whose README says what its fields mean.
func Replies(t testing.TB) (vs []ReplyVector) {
	readVectors(t, "replies.json", &vs)
	used := make(map[string]bool)
	for i := range vs {
		v := &vs[i]
		if v.Name == "" || v.Rule == "" || used[v.Name] || (v.Status == 0) == (v.Refuse == "") {
			t.Fatalf("a reply needs a name of its own, a rule, and either a status or a reason to refuse it: %+v", v)
		}
		used[v.Name] = true
		v.Method = cmp.Or(v.Method, http.MethodGet)
		v.Input, v.Body = fromLatin1(v.Input), fromLatin1(v.Body)
		if v.Fields == nil {
			v.Fields = make(http.Header)
		}
		for _, values := range v.Fields {
			for i := range values {
				values[i] = fromLatin1(values[i])
			}
		}
	}
	if len(vs) < 50 {
		t.Fatalf("only %d replies", len(vs))
	}
	return vs
}

// readVectors reads a file of testdata/vectors into rows. An unknown key is fatal.
func readVectors(t testing.TB, file string, rows any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Testdata(t), "vectors", file))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(rows); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// Testdata returns the path of the module's testdata.
func Testdata(t testing.TB) string {
	for dir := "."; len(dir) < 10; dir = filepath.Join("..", dir) {
		if _, err := os.Stat(filepath.Join(dir, "testdata", "vectors")); err == nil {
			return filepath.Join(dir, "testdata")
		}
	}
	t.Fatal("testdata is in none of the parent folders")
	return ""
}

// fromLatin1 returns the bytes that s has a character for each of.
func fromLatin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// AskHalfClosed is Ask for input that may be cut: it shuts down the writing side
// after the chunks.
func AskHalfClosed(t testing.TB, addr net.Addr, chunks []string) string {
	t.Helper()
	c := Dial(t, addr)
	defer c.Close()
	for _, chunk := range chunks {
		if _, err := io.WriteString(c, chunk); err != nil {
			break
		}
	}
	c.(interface{ CloseWrite() error }).CloseWrite()
	reply, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("reading the reply: %v", err)
	}
	return string(reply)
}

// Within returns a context that ends after d.
func Within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// Exchange sends request on c and returns a channel for the whole reply.
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

// WriterFunc is a function as an io.Writer.
type WriterFunc func([]byte) (int, error)

// Write calls f.
func (f WriterFunc) Write(p []byte) (int, error) { return f(p) }

// ReaderFunc is a function as an io.Reader.
type ReaderFunc func([]byte) (int, error)

// Read calls f(p).
func (f ReaderFunc) Read(p []byte) (int, error) { return f(p) }

// PipeListener is a listener for net.Pipe connections, for tests in a synctest
// bubble.
type PipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewPipeListener returns a listener that Dial connects to.
func NewPipeListener() *PipeListener {
	return &PipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial returns the client's end of a connection that Accept has returned.
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

// SmallRequests returns the specification's own request, two made by hand, and some
// that real web servers sent.
func SmallRequests(t testing.TB) map[string]string {
	requests := map[string]string{
		"the specification's": Vectors(t)[0].Input,
		"get":                 Get("/pizza?kind=hawaii"),
		"post":                Post("/order", "kind=hawaii&size=large"),
	}
	for _, name := range []string{"nginx-1.22/post-small", "nginx-1.22/get-query", "lighttpd-1.4.69/post-form", "apache-2.4.71/post-small", "apache-2.4.71/delete"} {
		input, err := os.ReadFile(filepath.Join(Testdata(t), "captures", name+".scgi"))
		if err != nil {
			t.Fatal(err)
		}
		requests[name] = string(input)
	}
	return requests
}

// Flip returns s with its i-th bit inverted.
func Flip(s string, i int) string {
	b := []byte(s)
	b[i/8] ^= 1 << (i % 8)
	return string(b)
}

// MemoryInUse returns the bytes of heap and stacks after a collection.
func MemoryInUse() int64 {
	runtime.GC()
	runtime.GC() // a sync.Pool keeps its buffers through one collection
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
