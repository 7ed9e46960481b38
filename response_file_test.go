package scgi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/socket"
)

func TestReadFromFile(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 100000)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for size, length := range map[int]string{len(content): "", 100: "", 0: "", 500000: "500000", bufferSize / 2: "", bufferSize/2 + 1: ""} {
		raw, _ := serveOnce(t, func(w http.ResponseWriter, r *scgi.Request) {
			f, err := os.Open(name)
			if err != nil {
				panic(err)
			}
			defer f.Close()
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			n, err := io.CopyN(w, f, int64(size))
			if n != int64(size) || err != nil {
				t.Errorf("CopyN of %d: %d, %v", size, n, err)
			}
		}, get("/"))
		if r := parseReply(t, raw); r.Body != string(content[:size]) {
			t.Errorf("%d bytes were sent as %d others", size, len(r.Body))
		}
	}
	// Writing more than the Content-Length is an error, and the excess is not sent.
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			f, _ := os.Open(name)
			defer f.Close()
			w.Header().Set("Content-Length", "50000")
			if _, err := io.Copy(w, f); err != http.ErrContentLength {
				t.Errorf("too long a file: %v", err)
			}
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		raw, _ := io.ReadAll(c)
		if _, body, _ := strings.Cut(string(raw), "\r\n\r\n"); len(body) > 50000 || !bytes.HasPrefix(content, []byte(body)) {
			t.Errorf("%d bytes were sent", len(body))
		}
	})
}

func TestReadFromOthers(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 10000)
	raw, _ := serveOnce(t, func(w http.ResponseWriter, r *scgi.Request) {
		n, err := io.Copy(w, struct{ io.Reader }{strings.NewReader(content)})
		if n != int64(len(content)) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}, get("/"))
	if r := parseReply(t, raw); r.Body != content {
		t.Errorf("%d bytes were sent", len(r.Body))
	}
}

// A file is not sent where a reply must have no body, as with any other body.
func TestReplyWithoutBodySendsNoFile(t *testing.T) {
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
	for uri, h := range map[string]scgi.HandlerFunc{
		"/head": func(w http.ResponseWriter, r *scgi.Request) {
			if err := copyFile(w); err != nil {
				t.Errorf("HEAD: %v", err)
			}
		},
		"/204": func(w http.ResponseWriter, r *scgi.Request) {
			w.WriteHeader(204)
			if err := copyFile(w); err != http.ErrBodyNotAllowed {
				t.Errorf("204: %v", err)
			}
		},
		"/none of it": func(w http.ResponseWriter, r *scgi.Request) {
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

// A reply that is sent in parts, or from a file, does not cancel its request's context.
func TestReplyDoesNotCancelContext(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	serveOnce(t, func(w http.ResponseWriter, r *scgi.Request) {
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

// Sending a file stops when the peer is gone, and the handler gets an error.
func TestSendFileStopsWithGonePeer(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 1<<30); err != nil {
		t.Fatal(err)
	}
	onEachKind(t, func(t *testing.T, l net.Listener) {
		ended := make(chan error, 2)
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			f, _ := os.Open(name)
			defer f.Close()
			_, err := io.Copy(w, f)
			_, again := io.WriteString(w, "more")
			ended <- errors.Join(err, r.Context().Err())
			ended <- again
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		io.ReadFull(c, make([]byte, 1000))
		c.Close()
		if err := <-ended; !errors.Is(err, context.Canceled) || err == context.Canceled {
			t.Errorf("the handler got %v", err)
		}
		if err := <-ended; err == nil {
			t.Error("a later write succeeded")
		}
	})
}

// countedFile counts how much of it was copied through the program.
type countedFile struct {
	*os.File
	copied int
}

func (f *countedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.copied += n
	return n, err
}

func (f *countedFile) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct {
		socket.File
		io.Seeker
	}{f, f}) // as os.File's own does
}

func TestFilesAreSentWithoutCopying(t *testing.T) {
	const size = 1 << 20
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"tcp", "unix"} {
		l := listen(t, kind)
		if runtime.GOOS != "linux" {
			t.Skip("package net sends files on this system")
		}
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			plain, err := os.Open(name)
			if err != nil {
				panic(err)
			}
			defer plain.Close()
			f := &countedFile{File: plain}
			var n int64
			if r.Env.Get("REQUEST_URI") == "/limited" { // http.ServeContent does the same
				n, err = io.CopyN(w, f, size)
			} else {
				n, err = io.Copy(w, f)
			}
			if n != size || err != nil || f.copied > bufferSize {
				t.Errorf("%s: %d bytes, %v; %d were copied", kind, n, err, f.copied)
			}
		})}, l)
		for _, uri := range []string{"/", "/limited"} {
			if raw := ask(t, l.Addr(), get(uri)); len(raw) < size {
				t.Errorf("%s: %d bytes arrive", kind, len(raw))
			}
		}
	}
}
