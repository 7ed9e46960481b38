package scgi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"example.com/scgi/internal/scgitest"
	"example.com/scgi/internal/wire"
)

// recorder is a connection that records what is written.
type recorder struct {
	net.Conn
	bytes.Buffer
	discard bool
	fails   error // the error of each write
	writes  int
}

func (r *recorder) Read([]byte) (int, error) { return 0, io.EOF }

func (r *recorder) Write(p []byte) (int, error) {
	r.writes++
	if r.discard || r.fails != nil {
		return len(p), r.fails
	}
	return r.Buffer.Write(p)
}

func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

func (r *recorder) Close() error { return nil }

func (r *recorder) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }

var errTest = errors.New("a test's error")

var recordedServer = func() *Server {
	s := &Server{Logger: slog.New(slog.DiscardHandler)}
	s.init()
	return s
}()

// newConn returns an untracked conn of s for nc.
func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, base: context.Background()}
	c.Open(nc, &s.timeouts)
	return c
}

// newRecorded returns an exchange whose reply is recorded.
func newRecorded(h header) (*exchange, *recorder) {
	rec := &recorder{}
	return newExchange(newConn(recordedServer, rec), NewEnv("CONTENT_LENGTH", "0", "SCGI", "1"), h, ""), rec
}

// The response writer has each method of net/http's own, with the same type.
func TestResponseHasEveryMethodOfNetHTTP(t *testing.T) {
	ours := reflect.TypeFor[*response]()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		theirs := reflect.TypeOf(w)
		for i := range theirs.NumMethod() {
			want := theirs.Method(i)
			got, ok := ours.MethodByName(want.Name)
			if !ok || fmt.Sprint(got.Type)[len("func("+ours.String()):] != fmt.Sprint(want.Type)[len("func("+theirs.String()):] {
				t.Errorf("%s: have %v, want %v", want.Name, got.Type, want.Type)
			}
		}
	}))
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// A page that just fits the buffer gets a Content-Length. A longer one is sent in parts: the
// buffer does not grow.
func TestReplyThatFitsBufferHasLength(t *testing.T) {
	const room = scratchSize - len("Status: 200 OK\r\n") - headGap
	for size, known := range map[int]bool{room: true, room + 1: false} {
		x, rec := newRecorded(header{})
		page := strings.Repeat("x", size)
		io.WriteString(&x.reply, page)
		if err := x.reply.finish(); err != nil {
			t.Error(err)
		}
		head, body, _ := strings.Cut(rec.String(), "\r\n\r\n")
		if strings.Contains(head, "Content-Length") != known || body != page {
			t.Errorf("%d bytes: %q and %d bytes", size, head, len(body))
		}
	}
}

// Once the peer is gone, every write fails without a system call.
func TestWriteFailsAfterFailedWrite(t *testing.T) {
	x, rec := newRecorded(header{})
	rec.fails = errTest
	for _, size := range []int{2 * scratchSize, 1, 2 * scratchSize} {
		if n, err := x.reply.Write(make([]byte, size)); n != 0 || !errors.Is(err, errTest) {
			t.Errorf("%d, %v", n, err)
		}
	}
	if err := x.reply.FlushError(); !errors.Is(err, errTest) || rec.writes != 1 {
		t.Errorf("%v after %d writes", err, rec.writes)
	}
	if err := x.ctx.Err(); err == nil {
		t.Error("the request's context was not cancelled")
	}
}

// No more is sent than the status and the Content-Length allow. An empty write is always
// allowed.
func TestReplyKeepsToStatusAndLength(t *testing.T) {
	for _, test := range []struct {
		status int
		length string
		most   int
		err    error
	}{
		{204, "", 0, http.ErrBodyNotAllowed},
		{304, "", 0, http.ErrBodyNotAllowed},
		{200, "0", 0, http.ErrContentLength},
		{200, "2", 2, http.ErrContentLength},
	} {
		x, rec := newRecorded(header{})
		if test.length != "" {
			x.reply.Header().Set("Content-Length", test.length)
		}
		x.reply.WriteHeader(test.status)
		for range test.most {
			if n, err := x.reply.Write([]byte("x")); n != 1 || err != nil {
				t.Errorf("%+v: %d, %v", test, n, err)
			}
		}
		if n, err := x.reply.Write(nil); n != 0 || err != nil {
			t.Errorf("%+v: an empty write: %d, %v", test, n, err)
		}
		if n, err := x.reply.Write([]byte("x")); n != 0 || err != test.err {
			t.Errorf("%+v: one more: %d, %v", test, n, err)
		}
		if err := x.reply.finish(); err != nil {
			t.Error(err)
		}
		if _, body, _ := strings.Cut(rec.String(), "\r\n\r\n"); len(body) != test.most {
			t.Errorf("%+v: %q was sent", test, body)
		}
	}
}

// The writes of a ProduceFunc are sent unchanged, and are counted.
func TestProduceWritesRaw(t *testing.T) {
	x, rec := newRecorded(header{isHead: true})
	out := x.reply.rawOutput()
	fmt.Fprint(out, "Status: 200 OK\r\n\r\n")
	fmt.Fprint(out, "page")
	x.reply.WriteHeader(500)
	if err := x.reply.finish(); err != nil {
		t.Error(err)
	}
	const want = "Status: 200 OK\r\n\r\npage"
	if _, wrote, cut := x.reply.summary(); rec.String() != want || wrote != int64(len(want)) || cut {
		t.Errorf("%q, counted as %d, cut: %t", rec.String(), wrote, cut)
	}
}

// ReadFrom sends what it reads before an error, and returns the error to the handler.
func TestReadFromFailingReader(t *testing.T) {
	for _, size := range []int64{0, 10, scratchSize / 2, 2 * scratchSize} {
		x, rec := newRecorded(header{})
		n, err := x.reply.ReadFrom(io.MultiReader(strings.NewReader(strings.Repeat("x", int(size))), iotest.ErrReader(errTest)))
		if n != size || err != errTest {
			t.Errorf("%d, %v; want %d, %v", n, err, size, errTest)
		}
		if err := x.reply.finish(); err != nil {
			t.Error(err)
		}
		if _, body, _ := strings.Cut(rec.String(), "\r\n\r\n"); int64(len(body)) != size {
			t.Errorf("%d bytes were sent of %d", len(body), size)
		}
	}
}

// Flush counts no bytes, whatever the status.
func TestFlushCountsNoBytes(t *testing.T) {
	for _, status := range []int{200, 204, 304} {
		x, _ := newRecorded(header{})
		x.reply.WriteHeader(status)
		if err := x.reply.FlushError(); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		if _, wrote, cut := x.reply.summary(); wrote != 0 || cut {
			t.Errorf("%d: %d bytes are counted, cut: %t", status, wrote, cut)
		}
	}
}

// If a handler's time ends while it is inside a method of the writer but sends nothing, the
// server still replies.
func TestHandlerAbandonedInWriterIsAnswered(t *testing.T) {
	l := scgitest.Listen(t, "unix")
	hold := make(chan bool)
	defer close(hold)
	replies := make(chan *response, 1)
	log := slog.NewTextHandler(scgitest.WriterFunc(func(p []byte) (int, error) { // runs after the handler's time ends and before the server replies
		reply := <-replies
		reply.mu.Lock()
		go func() {
			for range 100 {
				runtime.Gosched()
			}
			reply.mu.Unlock()
		}()
		return len(p), nil
	}), nil)
	s := &Server{Logger: slog.New(log), RequestTimeout: time.Nanosecond, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
		replies <- w.(*response)
		<-hold
	})}
	scgitest.Serve(t, s, l, ErrServerClosed)
	if r := scgitest.ParseReply(t, scgitest.Ask(t, l.Addr(), scgitest.Get("/"))); r.Status != 504 {
		t.Errorf("%+v", r)
	}
}

// A handler that has hijacked its connection is not abandoned.
func TestHijackedIsNotAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{RequestTimeout: time.Second, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(time.Hour)
			w.(*response).x.abandon() // as if its timer had fired before it was stopped
			io.WriteString(c, "mine")
			c.Close()
		})}
		l := scgitest.NewPipeListener()
		scgitest.Serve(t, s, l, ErrServerClosed)
		if raw := <-scgitest.Exchange(l.Dial(), scgitest.Get("/")); raw != "mine" {
			t.Errorf("%q", raw)
		}
		synctest.Wait()
		if st := s.Stats(); st.Abandoned != 0 || st.Refused[504] != 0 || st.Served != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// Invariants: whatever names, values, status and body a handler uses, the reply is one
// header block of clean lines, followed by the unchanged body. The block begins with Status
// and has no field that only the server may send.
func FuzzResponse(f *testing.F) {
	f.Add(200, "X-A", "b", "Content-Type", "text/html", "body", false, uint8(0))
	f.Add(302, "Location", "/x\r\nSet-Cookie: a=b", "Connection", "close", "", true, uint8(1))
	f.Add(204, "Content-Length", "12", "Transfer-Encoding", "chunked", "\r\n\r\nbody", false, uint8(2))
	f.Add(999, "X\r\nY", "\x00", "Status", "200", strings.Repeat("x", 600), false, uint8(3))
	f.Add(101, "Upgrade", "websocket", ":", ": ", "\n", false, uint8(0))
	f.Fuzz(func(t *testing.T, status int, n1, v1, n2, v2, body string, isHead bool, flush uint8) {
		x, rec := newRecorded(header{isHead: isHead})
		w := &x.reply
		w.Header()[n1] = []string{v1}
		w.Header()[n2] = append(w.Header()[n2], v2, v1)
		if status >= 100 && status <= 999 {
			w.WriteHeader(status)
		}
		wrote := ""
		for i, piece := range []string{body[:len(body)/2], body[len(body)/2:]} {
			if n, err := io.WriteString(w, piece); err == nil {
				wrote += piece[:n]
			}
			if flush>>i&1 == 1 {
				w.Flush()
			}
		}
		if err := w.finish(); err != nil {
			return // the body is shorter than its Content-Length, so the connection is cut
		}
		head, got, ok := strings.Cut(rec.String(), "\r\n\r\n")
		if !ok || !strings.HasPrefix(head, "Status: ") {
			t.Fatalf("no header block: %q", rec)
		}
		for i, line := range strings.Split(head, "\r\n") {
			name, value, ok := strings.Cut(line, ": ")
			if !ok || !wire.IsToken(name) || !wire.IsFieldValue(value) || (name == "Status") != (i == 0) {
				t.Fatalf("line %q in %q", line, head)
			}
			switch http.CanonicalHeaderKey(name) {
			case "Transfer-Encoding", "Keep-Alive", "Proxy-Connection", "Te", "Trailer":
				t.Fatalf("%q left", line)
			case "Connection", "Upgrade":
				if status != http.StatusSwitchingProtocols {
					t.Fatalf("%q left", line)
				}
			case "Content-Length":
				if n, ok := wire.ParseDecimal(value); !ok || !isHead && n != int64(len(got)) && status != http.StatusNotModified {
					t.Fatalf("%q before %d bytes", line, len(got))
				}
			}
		}
		if isHead {
			wrote = ""
		}
		if got != wrote {
			t.Fatalf("the body %q arrives as %q", wrote, got)
		}
	})
}

func BenchmarkRespond(b *testing.B) {
	page := []byte("Sun Nov 22 13:11:00 2026\n")
	b.ReportAllocs()
	for b.Loop() {
		x, rec := newRecorded(header{})
		x.reply.Write(page)
		if err := x.reply.finish(); err != nil || rec.Len() == 0 {
			b.Fatal(err)
		}
	}
}

// BenchmarkRespondLong sends a page that is larger than the buffer.
func BenchmarkRespondLong(b *testing.B) {
	page := strings.Repeat("page", 1<<18)
	b.ReportAllocs()
	for b.Loop() {
		x, rec := newRecorded(header{})
		rec.discard = true
		io.WriteString(&x.reply, page)
		if err := x.reply.finish(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAccessLog(b *testing.B) {
	x, _ := newRecorded(header{})
	x.reply.Write([]byte("page"))
	_ = x.reply.finish()
	s := &Server{AccessLog: slog.New(slog.NewJSONHandler(io.Discard, nil))}
	x.conn.srv = s
	b.ReportAllocs()
	for b.Loop() {
		x.account(true)
	}
}
