package scgi

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/scgi/internal/wire"
)

// recorder is a connection that keeps what is written.
type recorder struct {
	net.Conn
	bytes.Buffer
	discard bool
	fails   error // of each write
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
func (r *recorder) Close() error                     { return nil }
func (r *recorder) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix"} }

var recordedServer = func() *Server {
	s := &Server{Logger: slog.New(slog.DiscardHandler)}
	s.init()
	return s
}()

// newConn returns a record of s for nc that is not tracked.
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

// Invariants: whatever names, values, status and body a handler uses, the reply
// is one header block of clean lines that begins with its Status and holds no
// field that is not the server's to send, and the body follows it unchanged.
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
			return // short of its Content-Length: the connection is cut
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

// BenchmarkRespondLong is of a page that does not fit the buffer.
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
