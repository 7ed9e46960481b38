package scgi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// A page that fits the buffer to the last byte has its length, and one that
// does not is sent as it comes: the buffer does not grow.
func TestReplyFitsTheBuffer(t *testing.T) {
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

// Once the peer is gone every write fails, and none is tried.
func TestReplyAfterAFailedWrite(t *testing.T) {
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
		t.Error("the request's context goes on")
	}
}

// Not a byte more than the status and the Content-Length allow, and an empty
// write is always allowed.
func TestReplyAllows(t *testing.T) {
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

// What a ProduceFunc writes is all that is sent, and is counted.
func TestReplyOfProduce(t *testing.T) {
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

// A file goes no further than any other body, where there must be none.
func TestReplyHasNoFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	copyFile := func(w http.ResponseWriter) error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	}
	for uri, h := range map[string]HandlerFunc{
		"/head": func(w http.ResponseWriter, r *Request) {
			if err := copyFile(w); err != nil {
				t.Errorf("HEAD: %v", err)
			}
		},
		"/204": func(w http.ResponseWriter, r *Request) {
			w.WriteHeader(204)
			if err := copyFile(w); err != http.ErrBodyNotAllowed {
				t.Errorf("204: %v", err)
			}
		},
		"/none of it": func(w http.ResponseWriter, r *Request) {
			f, _ := os.Open(name)
			defer f.Close()
			if n, err := w.(io.ReaderFrom).ReadFrom(io.LimitReader(f, 0)); n != 0 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		},
	} {
		method := map[bool]string{true: "HEAD", false: "GET"}[uri == "/head"]
		raw, _ := serveOnce(t, h, encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", method))
		if _, body, _ := strings.Cut(raw, "\r\n\r\n"); body != "" {
			t.Errorf("%s: %d bytes of body", uri, len(body))
		}
	}
}

// What is read before an error is sent, and the error is the handler's.
func TestReplyFromAReaderThatFails(t *testing.T) {
	for _, size := range []int64{0, 10, scratchSize / 2, 2 * scratchSize} {
		x, rec := newRecorded(header{})
		n, err := x.reply.ReadFrom(io.MultiReader(io.LimitReader(zeroSource{}, size), iotest.ErrReader(errTest)))
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

// A reply that goes out in parts, or from a file, does not end its request.
func TestReplyKeepsTheContext(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	serveOnce(t, func(w http.ResponseWriter, r *Request) {
		io.WriteString(w, "part")
		if err := http.NewResponseController(w).Flush(); err != nil || r.Context().Err() != nil {
			t.Errorf("%v, %v", err, r.Context().Err())
		}
		f, _ := os.Open(name)
		defer f.Close()
		if _, err := io.Copy(w, f); err != nil || r.Context().Err() != nil {
			t.Errorf("after a file: %v, %v", err, r.Context().Err())
		}
	}, get("/"))
}

// Flush counts for nothing, whatever the status.
func TestReplyFlushes(t *testing.T) {
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
