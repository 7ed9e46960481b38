//go:build unix

package cgihost

// cgihost_test.go holds the helpers that the tests share: shell scripts as
// programs, a Server around a Host, and a client that sends exactly the variables
// it is given. The tests wait for a byte or the end of a pipe, never for time.

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/leak"
)

const patience = 30 * time.Second

// program writes a shell script and returns its path.
func program(t *testing.T, text string) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "program"), "#!/bin/sh\n"+text)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// exec fails with ETXTBSY while another goroutine's child still has the file
	// open for writing.
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// journal is a log that is safe to read while it is written.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// soon is the flush delay of tests that want output at once. Other tests use
// patience, so that output is never flushed early on a slow machine.
const soon = time.Millisecond

// site is a Host behind a Server on a unix socket.
type site struct {
	host *Host
	log  journal
	addr string
}

func serve(t *testing.T, h *Host) *site {
	t.Helper()
	leak.Goroutines(t)
	leak.Descriptors(t)
	s := &site{host: h, addr: filepath.Join(t.TempDir(), "s")}
	h.delay = cmp.Or(h.delay, patience)
	h.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
	l, err := scgi.Listen("unix:" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &scgi.Server{Handler: h, Logger: h.Logger}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		_ = h.Close()
		<-served
		if t.Failed() {
			t.Logf("the log:\n%s", &s.log)
		}
	})
	return s
}

// send sends a request that declares a body of length bytes, and leaves the
// connection open.
func (s *site) send(t *testing.T, length int, body string, variables ...string) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unix", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	variables = append([]string{"CONTENT_LENGTH", fmt.Sprint(length), "SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", "/uri"}, variables...)
	header := strings.Join(variables, "\x00") + "\x00"
	go func() { _, _ = fmt.Fprintf(c, "%d:%s,%s", len(header), header, body) }()
	return c.(*net.UnixConn)
}

// ask returns the whole reply to a request: its head, without CRs, and its body.
func (s *site) ask(t *testing.T, body string, variables ...string) (head, page string) {
	t.Helper()
	reply, err := io.ReadAll(s.send(t, len(body), body, variables...))
	if err != nil {
		t.Errorf("reading the reply: %v", err)
	}
	head, page, _ = strings.Cut(string(reply), "\r\n\r\n")
	return strings.ReplaceAll(head, "\r", ""), page
}

// status returns the status code in a head.
func status(head string) string {
	_, rest, _ := strings.Cut(head+" ", "Status: ")
	code, _, _ := strings.Cut(rest, " ")
	return code
}

func (s *site) wantLog(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(s.log.String(), part) {
			t.Errorf("the log lacks %q", part)
		}
	}
}

// group is a FIFO that a program and all that it starts keep open for writing. The
// FIFO is at its end when all of them have exited.
type group struct {
	path string
	file *os.File
}

func newGroup(t *testing.T) *group {
	t.Helper()
	g := &group{path: filepath.Join(t.TempDir(), "fifo")}
	if err := syscall.Mkfifo(g.path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Non-blocking, so that it opens without a writer and supports deadlines.
	f, err := os.OpenFile(g.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := f.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	g.file = f
	return g
}

// line waits for a line from a member of the group. Read returns io.EOF while the
// FIFO has no writer yet.
func (g *group) line(t *testing.T, want string) {
	t.Helper()
	var got []byte
	one := make([]byte, 1)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		n, err := g.file.Read(one)
		got = append(got, one[:n]...)
		switch {
		case n > 0 && one[0] == '\n':
			if string(got) != want+"\n" {
				t.Fatalf("a member of the group wrote %q, want %q", got, want)
			}
			return
		case err != nil && err != io.EOF:
			t.Fatal(err)
		}
	}
	t.Fatalf("no member of the group wrote %q", want)
}

// awaitEnd waits until every member of the group has exited, and returns what they
// wrote. Call it after line.
func (g *group) awaitEnd(t *testing.T) (rest string) {
	t.Helper()
	b, err := io.ReadAll(g.file)
	if err != nil {
		t.Fatalf("the group is still alive: %v", err)
	}
	return string(b)
}

// gate is a FIFO from which a program reads a line, to wait for the test. It opens
// once.
type gate struct{ path string }

func newGate(t *testing.T) gate {
	t.Helper()
	g := gate{filepath.Join(t.TempDir(), "gate")}
	if err := syscall.Mkfifo(g.path, 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// open waits until the program reads from the gate, and lets it go on.
func (g gate) open(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(g.path, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
}
