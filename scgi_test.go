package scgi_test

// scgi_test.go has what the other tests share (a server on each kind of listener, and a
// client that sends raw bytes), the tests of Listen and ListenAndServe, and those that send
// whole requests: the vectors and the captures of real web servers.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/leak"
	"example.com/scgi/internal/scgitest"
)

// patience bounds a wait that is short unless the code under test is broken.
const patience = scgitest.Patience

var (
	kinds          = scgitest.Kinds
	listen         = scgitest.Listen
	shortTempDir   = scgitest.TempDir
	onEachKind     = scgitest.OnEachKind
	dial           = scgitest.Dial
	encode         = scgitest.Encode
	get            = scgitest.Get
	post           = scgitest.Post
	ask            = scgitest.Ask
	askHalfClosed  = scgitest.AskHalfClosed
	parseReply     = scgitest.ParseReply
	wholeAndPieces = scgitest.Pieces
	vectors        = scgitest.Vectors
	within         = scgitest.Within
	exchangeOn     = scgitest.Exchange
	formRequest    = scgitest.FormPost
)

type (
	vector     = scgitest.Vector
	syncBuffer = scgitest.Buffer
	writerFunc = scgitest.WriterFunc
)

// start serves on l until the test ends, waits for that, and logs into the returned buffer.
func start(t testing.TB, s *scgi.Server, l net.Listener) *syncBuffer {
	t.Helper()
	return scgitest.Start(t, s, &s.Logger, l, scgi.ErrServerClosed)
}

// pipeServer serves connections of net.Pipe, for a synctest bubble.
func pipeServer(t *testing.T, s *scgi.Server) (dial func() net.Conn) {
	l := scgitest.NewPipeListener()
	start(t, s, l)
	return l.Dial
}

// leakCheck fails t if a goroutine is left at its end.
func leakCheck(t testing.TB) {
	t.Helper()
	leak.Goroutines(t)
}

// echo answers with the body, and reports whether reading it failed.
var echo = scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
	body, err := io.ReadAll(r.Body)
	w.Header().Set("X-Short", fmt.Sprint(err != nil))
	w.Write(body)
})

// bodyOf returns what follows the netstring in input.
func bodyOf(input string) string {
	size, rest, _ := strings.Cut(input, ":")
	n, _ := strconv.Atoi(size)
	return rest[n+len(","):]
}

func TestVectors(t *testing.T) {
	for _, kind := range kinds {
		for _, strict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s strict=%t", kind, strict), func(t *testing.T) {
				l := listen(t, kind)
				start(t, &scgi.Server{Handler: echo, Strict: strict, AllowHalfClose: true}, l)
				for _, v := range vectors(t) {
					checkVector(t, l.Addr(), v, strict)
				}
			})
		}
	}
}

func checkVector(t *testing.T, addr net.Addr, v vector, strict bool) {
	t.Helper()
	expect := v.Expect
	if strict {
		expect = v.Strict
	}
	for way, chunks := range wholeAndPieces(v.Input) {
		if way != "whole" && v.GoesOn() {
			continue // the server may close before the rest arrives
		}
		raw := askHalfClosed(t, addr, chunks)
		if raw == "" {
			if expect != "closed" {
				t.Errorf("%s, %s: no answer", v.Name, way)
			}
			continue
		}
		r := parseReply(t, raw)
		if fmt.Sprint(r.Status) != expect {
			t.Errorf("%s, %s: answered with %d %q, want %s", v.Name, way, r.Status, r.Body, expect)
			continue
		}
		if r.Status == 200 && (r.Body != v.Body || r.Header.Get("X-Short") != fmt.Sprint(v.Short)) {
			t.Errorf("%s, %s: the handler read %q, short %s", v.Name, way, r.Body, r.Header.Get("X-Short"))
		}
	}
}

// At all three levels, the specification's example request gets the specification's answer.
func TestSpecExampleAtEveryLevel(t *testing.T) {
	example := vectors(t)[0].Input
	const question = "What is the answer to life?"
	levels := map[string]scgi.Handler{
		"native": scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			b, _ := io.ReadAll(r.Body)
			if string(b) == question && r.Env.Get("REQUEST_URI") == "/deepthought" && r.ContentLength == 27 {
				io.WriteString(w, "42")
			}
		}),
		"produce": scgi.ProduceFunc(func(env scgi.Env, size int64, in io.Reader, out io.Writer) {
			b, _ := io.ReadAll(in)
			if string(b) == question && env.Get("REQUEST_URI") == "/deepthought" && size == 27 {
				io.WriteString(out, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n42")
			}
		}),
		"http": scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			if string(b) == question && r.URL.Path == "/deepthought" && r.ContentLength == 27 && r.Method == "POST" {
				io.WriteString(w, "42")
			}
		})),
	}
	for name, h := range levels {
		t.Run(name, func(t *testing.T) {
			onEachKind(t, func(t *testing.T, l net.Listener) {
				start(t, &scgi.Server{Handler: h}, l)
				for way, chunks := range wholeAndPieces(example) {
					if r := parseReply(t, ask(t, l.Addr(), chunks...)); r.Status != 200 || r.Body != "42" {
						t.Errorf("%s: %+v", way, r)
					}
				}
			})
		})
	}
}

// Every captured request is served with its body, whole and byte by byte, or refused for a
// listed reason.
func TestCaptures(t *testing.T) {
	short := map[string]bool{
		"apache-2.4.71/post-cl-short-body.scgi": true,
		// The client's Content_Length became HTTP_CONTENT_LENGTH.
		"lighttpd-1.4.69/hdr-inject-cgi.scgi": true,
	}
	files, _ := filepath.Glob("testdata/captures/*/*.scgi")
	if len(files) < 200 {
		t.Fatalf("only %d captures", len(files))
	}
	l := listen(t, "unix")
	start(t, &scgi.Server{Handler: echo}, l)
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
			switch {
			case r.Status != 200:
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			case r.Body != bodyOf(string(input)) || r.Header.Get("X-Short") != fmt.Sprint(short[name]):
				t.Errorf("%s: the body differs from what was sent", name)
			}
		}
	}
}

// If the port is in use on this machine, the error names the default address.
func TestListenDefault(t *testing.T) {
	l, err := scgi.Listen("")
	var op *net.OpError
	switch {
	case err == nil:
		defer l.Close()
		if got := l.Addr().String(); got != scgi.DefaultAddr {
			t.Errorf("listens on %q, want %q", got, scgi.DefaultAddr)
		}
	case !errors.As(err, &op) || op.Addr.String() != scgi.DefaultAddr:
		t.Errorf("got %v, want to listen on %q", err, scgi.DefaultAddr)
	}
}

func TestListenErrorHasNoListener(t *testing.T) {
	if l, err := scgi.Listen(":4000"); l != nil || err == nil {
		t.Errorf("got %v, %v", l, err)
	}
}

func TestListenAndServe(t *testing.T) {
	addr := filepath.Join(shortTempDir(t), "s")
	listening := make(chan bool, 1)
	s := &scgi.Server{Handler: echo, BaseContext: func(net.Listener) context.Context {
		listening <- true
		return context.Background()
	}}
	served := make(chan error)
	go func() { served <- s.ListenAndServe("unix:" + addr) }()
	<-listening
	if r := parseReply(t, ask(t, &net.UnixAddr{Name: addr, Net: "unix"}, post("/", "body"))); r.Body != "body" {
		t.Errorf("%+v", r)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != scgi.ErrServerClosed {
		t.Error(err)
	}
	if err := scgi.ListenAndServe("unix:"+addr+"/not/a/folder", nil); err == nil || err == scgi.ErrServerClosed {
		t.Errorf("without a folder: %v", err)
	}
}
