package scgi

// scgi_test.go owns what the other tests share: a server on each kind of
// listener, a client that sends raw bytes, and the specification's vectors.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/scgi/internal/leak"
	"example.com/scgi/internal/wire"
)

// patience bounds what should take no time; it is for a broken test, not a
// measure.
const patience = 20 * time.Second

// kinds are the listeners that every test of the server runs on: this
// package's own, which take the fast path where there is one; package net's;
// and those behind a type that hides them.
var kinds = []string{"unix", "tcp", "unix net", "tcp net", "unix portable", "tcp portable"}

func listen(t testing.TB, kind string) net.Listener {
	t.Helper()
	network, whose, _ := strings.Cut(kind, " ")
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(shortTempDir(t), "s")
	}
	var l net.Listener
	var err error
	switch {
	case whose != "":
		l, err = net.Listen(network, addr)
	case network == "unix":
		l, err = Listen("unix:" + addr)
	default:
		l, err = Listen(addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	if whose == "portable" {
		l = hidden{l, l.(deadliner)}
	}
	return l
}

// hidden is a listener of which only what package net's have everywhere is
// known.
type hidden struct {
	net.Listener
	deadliner
}

type deadliner interface{ SetDeadline(time.Time) error }

// leakCheck fails t if a goroutine is left at its end.
func leakCheck(t testing.TB) {
	t.Helper()
	leak.Goroutines(t)
}

// zeroSource is an endless reader.
type zeroSource struct{}

func (zeroSource) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// readerFunc is a function as an io.Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

var errTest = errors.New("a test's error")

// shortTempDir is a folder whose name leaves room for a socket's.
func shortTempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "scgi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// onEachKind runs f as a subtest with each kind of listener.
func onEachKind(t *testing.T, f func(t *testing.T, l net.Listener)) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) { f(t, listen(t, kind)) })
	}
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start serves on l until the test ends, which it waits for, and logs into the
// returned buffer.
func start(t testing.TB, s *Server, l net.Listener) *syncBuffer {
	t.Helper()
	log := &syncBuffer{}
	if s.Logger == nil {
		s.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
			s.Close()
		}
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
	return log
}

func dial(t testing.TB, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// encode makes a request of the names and values and the body.
func encode(body string, namesAndValues ...string) string {
	return string(appendNetstring(nil, NewEnv(namesAndValues...).block)) + body
}

// get is a request for uri.
func get(uri string) string {
	return encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", uri, "SERVER_PROTOCOL", "HTTP/1.1", "HTTP_HOST", "example.com")
}

// post is a request with body for uri.
func post(uri, body string) string {
	return encode(body, "CONTENT_LENGTH", strconv.Itoa(len(body)), "SCGI", "1", "REQUEST_METHOD", "POST", "REQUEST_URI", uri, "SERVER_PROTOCOL", "HTTP/1.1", "HTTP_HOST", "example.com")
}

// ask sends the chunks one write each and returns the whole reply.
func ask(t testing.TB, addr net.Addr, chunks ...string) string {
	t.Helper()
	c := dial(t, addr)
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

// reply takes a CGI response apart.
type reply struct {
	status int
	header http.Header
	body   string
}

func parseReply(t testing.TB, raw string) reply {
	t.Helper()
	head, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		t.Fatalf("no header block in %q", raw)
	}
	r := reply{header: make(http.Header), body: body}
	for i, line := range strings.Split(head, "\r\n") {
		name, value, ok := strings.Cut(line, ": ")
		if strings.HasPrefix(line, "HTTP/1.1 ") {
			name, value, ok = "Status", line[9:], true
		}
		if !ok || !wire.IsToken(name) || (name == "Status") != (i == 0) {
			t.Fatalf("line %q in the header of %q", line, raw)
		}
		if i == 0 {
			r.status, _ = strconv.Atoi(value[:3])
			continue
		}
		r.header.Add(name, value)
	}
	return r
}

// wholeAndPieces gives the ways in which a peer may cut what it sends.
func wholeAndPieces(s string) map[string][]string {
	return map[string][]string{
		"whole":     {s},
		"byte-wise": strings.Split(s, ""),
		"halves":    {s[:len(s)/2], s[len(s)/2:]},
	}
}

type vector struct {
	name           string
	input          string
	expect, strict string
	body           string
	short          bool
}

// goesOn reports whether something follows the request.
func (v vector) goesOn() bool {
	start, end, err := cutNetstring([]byte(v.input), DefaultMaxHeaderBytes)
	if err != nil || end == 0 || end >= len(v.input) {
		return false
	}
	h, err := parseHeader(v.input[start:end], false)
	return err == nil && int64(len(v.input)-end-1) > h.length
}

// vectors reads requests.json, whose README says what its fields mean.
func vectors(t testing.TB) (vs []vector) {
	text, err := os.ReadFile("testdata/vectors/requests.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Name, Rule, Input, Body string
		Expect                  any // a status or "closed"
		Strict                  int
		Short                   bool
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&rows); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Name == "" || r.Rule == "" {
			t.Fatalf("a vector has no name or no rule: %+v", r)
		}
		v := vector{name: r.Name, input: fromLatin1(r.Input), expect: fmt.Sprint(r.Expect), body: fromLatin1(r.Body), short: r.Short}
		v.strict = v.expect
		if r.Strict != 0 {
			v.strict = strconv.Itoa(r.Strict)
		}
		vs = append(vs, v)
	}
	if len(vs) < 50 || vs[0].name != "the specification's own example" {
		t.Fatalf("only %d vectors, the first is %q", len(vs), vs[0].name)
	}
	return vs
}

// fromLatin1 returns the bytes that s has a character for each of.
func fromLatin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// echo answers with the body, and with how reading it ended.
var echo = HandlerFunc(func(w http.ResponseWriter, r *Request) {
	body, err := io.ReadAll(r.Body)
	w.Header().Set("X-Short", fmt.Sprint(errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errBodyNotPassed)))
	w.Write(body)
})

func TestVectors(t *testing.T) {
	for _, kind := range kinds {
		for _, strict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s strict=%t", kind, strict), func(t *testing.T) {
				l := listen(t, kind)
				start(t, &Server{Handler: echo, Strict: strict, AllowHalfClose: true}, l)
				for _, v := range vectors(t) {
					checkVector(t, l.Addr(), v, strict)
				}
			})
		}
	}
}

func checkVector(t *testing.T, addr net.Addr, v vector, strict bool) {
	t.Helper()
	expect := v.expect
	if strict {
		expect = v.strict
	}
	for way, chunks := range wholeAndPieces(v.input) {
		if way != "whole" && v.goesOn() {
			continue // the server may have closed before the rest comes
		}
		raw := askHalfClosed(t, addr, chunks)
		if raw == "" {
			if expect != "closed" {
				t.Errorf("%s, %s: no answer", v.name, way)
			}
			continue
		}
		r := parseReply(t, raw)
		if fmt.Sprint(r.status) != expect {
			t.Errorf("%s, %s: answered with %d %q, want %s", v.name, way, r.status, r.body, expect)
			continue
		}
		if r.status == 200 && (r.body != v.body || r.header.Get("X-Short") != fmt.Sprint(v.short)) {
			t.Errorf("%s, %s: the handler read %q, short %s", v.name, way, r.body, r.header.Get("X-Short"))
		}
	}
}

// askHalfClosed is ask for input that may be cut: its end is told.
func askHalfClosed(t *testing.T, addr net.Addr, chunks []string) string {
	t.Helper()
	c := dial(t, addr)
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

// The specification's example works at all three levels, and its answer is the
// specification's.
func TestSpecExampleAtEveryLevel(t *testing.T) {
	example := vectors(t)[0].input
	const question = "What is the answer to life?"
	levels := map[string]Handler{
		"native": HandlerFunc(func(w http.ResponseWriter, r *Request) {
			b, _ := io.ReadAll(r.Body)
			if string(b) == question && r.Env.Get("REQUEST_URI") == "/deepthought" && r.ContentLength == 27 {
				io.WriteString(w, "42")
			}
		}),
		"produce": ProduceFunc(func(env Env, size int64, in io.Reader, out io.Writer) {
			b, _ := io.ReadAll(in)
			if string(b) == question && env.Get("REQUEST_URI") == "/deepthought" && size == 27 {
				io.WriteString(out, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n42")
			}
		}),
		"http": HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			if string(b) == question && r.URL.Path == "/deepthought" && r.ContentLength == 27 && r.Method == "POST" {
				io.WriteString(w, "42")
			}
		})),
	}
	for name, h := range levels {
		t.Run(name, func(t *testing.T) {
			onEachKind(t, func(t *testing.T, l net.Listener) {
				start(t, &Server{Handler: h}, l)
				for way, chunks := range wholeAndPieces(example) {
					if r := parseReply(t, ask(t, l.Addr(), chunks...)); r.status != 200 || r.body != "42" {
						t.Errorf("%s: %+v", way, r)
					}
				}
			})
		})
	}
}

// Every request that a real web server sent is served, whole and byte by byte,
// with its body, or refused for a reason that is known here.
func TestCaptures(t *testing.T) {
	short := map[string]bool{
		"apache-2.4.71/post-cl-short-body.scgi": true,
		// A client's Content_Length passes for HTTP_CONTENT_LENGTH.
		"lighttpd-1.4.69/hdr-inject-cgi.scgi": true,
	}
	files, _ := filepath.Glob("testdata/captures/*/*.scgi")
	if len(files) < 200 {
		t.Fatalf("only %d captures", len(files))
	}
	l := listen(t, "unix")
	start(t, &Server{Handler: echo}, l)
	for _, file := range files {
		input, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(input) == 0 {
			continue
		}
		name := strings.TrimPrefix(filepath.ToSlash(file), "testdata/captures/")
		chunks := []string{string(input)}
		if len(input) < 4000 {
			chunks = strings.Split(string(input), "")
		}
		for _, chunks := range [][]string{{string(input)}, chunks} {
			r := parseReply(t, askHalfClosed(t, l.Addr(), chunks))
			_, end, _ := cutNetstring(input, DefaultMaxHeaderBytes)
			switch {
			case r.status != 200:
				t.Errorf("%s: %d %s", name, r.status, r.body)
			case r.body != string(input[end+1:]) || r.header.Get("X-Short") != fmt.Sprint(short[name]):
				t.Errorf("%s: the body is not what was sent", name)
			}
		}
	}
}
