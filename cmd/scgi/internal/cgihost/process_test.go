//go:build unix

package cgihost

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/scgi"
)

func TestProgramGetsBodyAndFolder(t *testing.T) {
	path := program(t, `
echo "Content-Type: text/plain"
echo
pwd
echo "$CONTENT_LENGTH $(wc -c | tr -d ' ')"
`)
	s := serve(t, &Host{Path: path, Args: []string{"one"}})
	body := strings.Repeat("x", 300_000)
	head, page := s.ask(t, body)
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if want := dir + "\n300000 300000\n"; page != want || status(head) != "200" {
		t.Errorf("got %q %q, want %q", head, page, want)
	}
}

func TestArgumentsComeOnlyFromHost(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'A: b\n\n'; printf '%s|' "$#" "$@"`), Args: []string{"one", "a b"}})
	if _, page := s.ask(t, "", "QUERY_STRING", "x+y"); page != "2|one|a b|" {
		t.Errorf("got %q", page)
	}
}

// A program that doesn't read the body can still reply, however long either is.
func TestUnreadBody(t *testing.T) {
	body := strings.Repeat("x", 1<<20)
	for name, text := range map[string]string{
		"exits early":   `printf 'Status: 413\n\nno'; exit 0`,
		"closes stdin":  `exec <&-; printf 'Status: 413\n\nno'`,
		"long reply":    `printf 'Status: 413\n\nno'; head -c 3000000 /dev/zero`,
		"exits at once": `exit 3`,
	} {
		s := serve(t, &Host{Path: program(t, text)})
		want := "413"
		if name == "exits at once" {
			want = "500"
		}
		if head, page := s.ask(t, body); status(head) != want || name == "long reply" && len(page) != 3000002 {
			t.Errorf("%s: got %q and %d bytes", name, head, len(page))
		}
	}
}

// The client sends half its body and waits; the program has already exited.
func TestIncompleteBodyAfterExit(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'A: b\n\npage'`)})
	c := s.send(t, 1000, "half")
	reply, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(reply), "\r\n\r\npage") {
		t.Errorf("got %q, %v", reply, err)
	}
}

// A program never sees the end of its input after half an upload, which it would
// mistake for a whole one.
func TestBrokenBodyKillsProgram(t *testing.T) {
	g := newGroup(t)
	s := serve(t, &Host{Path: program(t, `exec 3>`+g.path+`; echo ready >&3; cat >/dev/null; echo whole >&3; printf 'A: b\n\npage'`)})
	c := s.send(t, 1000, "half")
	g.line(t, "ready")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(c)
	if head := string(reply); err != nil || status(head) != "400" {
		t.Errorf("got %q, %v; want 400", head, err)
	}
	if rest := g.awaitEnd(t); rest != "" {
		t.Errorf("the program went on: %q", rest)
	}
}

// nginx withholds the body from its own subrequests, such as auth_request's. Only
// a program that reads the body fails.
func TestWithheldBody(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'A: b\n\n'; [ "$QUERY_STRING" ] || exit; cat && echo whole; echo "$CONTENT_LENGTH"`)})
	if head, page := s.ask(t, "", "HTTP_CONTENT_LENGTH", "11"); status(head) != "200" || page != "" {
		t.Errorf("not read: got %q %q", head, page)
	}
	if _, page := s.ask(t, "", "HTTP_CONTENT_LENGTH", "11", "QUERY_STRING", "read"); page != "11\n" {
		t.Errorf("read: got %q", page)
	}
}

// nginx stops sending a request once the reply has begun, and git-http-backend
// replies before it reads.
func TestReplyWaitsForBody(t *testing.T) {
	g := newGroup(t)
	s := serve(t, &Host{delay: soon, Path: program(t, `exec 3>`+g.path+`; printf 'A: b\n\npage'; sleep 0.1; echo slept >&3; wc -c`)})
	c := s.send(t, 8, "half")
	g.line(t, "slept")
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the reply has begun: %d bytes, %v", n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if reply, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(reply), "\r\n\r\npage8\n") {
		t.Errorf("got %q, %v", reply, err)
	}
}

// A program that doesn't read its input can still stream its output.
func TestOutputIsStreamedPastUnreadBody(t *testing.T) {
	s := serve(t, &Host{delay: soon, Path: program(t, `printf 'A: b\n\npage\n'; sleep 1000`)})
	in := bufio.NewReader(s.send(t, 1<<20, strings.Repeat("x", 1<<20)))
	for line := ""; line != "page\n"; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOutputIsStreamed(t *testing.T) {
	first, last := newGate(t), newGate(t)
	s := serve(t, &Host{delay: soon, Path: program(t, `printf 'A: b\n\n'; read x <`+first.path+`; echo first; read x <`+last.path+`; echo last`)})
	in := bufio.NewReader(s.send(t, 0, ""))
	for line := ""; line != "\r\n"; { // read the header only
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	first.open(t)
	for line := ""; line != "first\n"; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	last.open(t)
	if rest, err := io.ReadAll(in); string(rest) != "last\n" || err != nil {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

// A page written without a pause is sent with a Content-Length.
func TestShortReplyHasLength(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'A: b\n\npage'`)})
	if head, page := s.ask(t, ""); page != "page" || !strings.Contains(head, "Content-Length: 4") {
		t.Errorf("got %q %q", head, page)
	}
}

// slowBody is a body whose Read blocks until a deadline is set.
type slowBody struct {
	*httptest.ResponseRecorder
	deadline chan struct{}
	set      sync.Once
	reading  atomic.Bool
}

func (b *slowBody) Read([]byte) (int, error) {
	b.reading.Store(true)
	defer b.reading.Store(false)
	<-b.deadline
	return 0, os.ErrDeadlineExceeded
}

func (b *slowBody) Close() error { return nil }

func (b *slowBody) SetReadDeadline(time.Time) error {
	b.set.Do(func() { close(b.deadline) })
	return nil
}

// No goroutine reads the body after ServeSCGI has returned, as scgi.Handler
// requires.
func TestBodyNotReadAfterReturn(t *testing.T) {
	b := &slowBody{ResponseRecorder: httptest.NewRecorder(), deadline: make(chan struct{})}
	r := &scgi.Request{Env: scgi.NewEnv("CONTENT_LENGTH", "9"), ContentLength: 9, Body: b}
	(&Host{Path: program(t, `printf 'A: b\n\npage'`)}).ServeSCGI(b, r)
	if b.reading.Load() || b.Body.String() != "page" {
		t.Errorf("the body is still being read; the reply is %q", b.Body)
	}
}

// A program whose output is not a valid reply is killed.
func TestBrokenReplyKillsProgram(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf '<p>page</p>\n\n'; sleep 1000`)})
	if head, _ := s.ask(t, ""); status(head) != "500" {
		t.Errorf("got %q", head)
	}
}

// A background job that has closed its standard output doesn't hold up the reply
// and isn't killed with it.
func TestBackgroundJobLives(t *testing.T) {
	g := newGroup(t)
	for _, redirect := range []string{">/dev/null 2>&1", ">/dev/null"} { // the second keeps standard error open
		gate := newGate(t)
		s := serve(t, &Host{Path: program(t, `exec 3>`+g.path+`; (read x <`+gate.path+`; echo done >&3) `+redirect+` & printf 'A: b\n\npage'`)})
		if _, page := s.ask(t, ""); page != "page" {
			t.Errorf("got %q", page)
		}
		gate.open(t)
		g.line(t, "done")
	}
}

func TestExitStatusIsLogged(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'A: b\n\npage'; exit 7`)})
	if head, page := s.ask(t, ""); status(head) != "200" || page != "page" {
		t.Errorf("got %q %q", head, page)
	}
	s.wantLog(t, "level=WARN", "exit status 7")
}

// The output of a program that crashed is not a complete reply.
func TestCrashIsAnError(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'A: b\n\npage'; kill -SEGV $$`)})
	if head, page := s.ask(t, ""); status(head) != "500" || strings.Contains(page, "page") {
		t.Errorf("got %q %q", head, page)
	}
	s.wantLog(t, "level=ERROR", "segmentation fault")
}

func TestStderrIsLogged(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'one\ntwo\r\n\nthree' >&2; printf 'A: b\n\n'`)})
	s.ask(t, "", "REMOTE_ADDR", "192.0.2.1")
	s.wantLog(t, "line=one\n", "line=two\n", "line=three\n", "remote=192.0.2.1", "uri=/uri", "program=/")
	if n := strings.Count(s.log.String(), "\n"); n != 3 {
		t.Errorf("the log has %d lines, want 3", n)
	}
}

func TestStderrIsBounded(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `head -c 1000000 /dev/zero | tr '\0' x >&2; echo end >&2; printf 'A: b\n\n'`)})
	s.ask(t, "")
	if n := len(s.log.String()); n < maxLines || n > 2*maxLines {
		t.Errorf("the log has %d bytes", n)
	}
	s.wantLog(t, "limit=65536")
	for line := range strings.Lines(s.log.String()) {
		if len(line) > maxLine+500 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
	if strings.Contains(s.log.String(), "line=end") {
		t.Error("a line beyond the limit was logged")
	}
}

func TestProgramThatCannotStart(t *testing.T) {
	dir := t.TempDir()
	plain := write(t, filepath.Join(dir, "plain"), "#!/bin/sh\n")
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "500",
		plain:                         "403",
		write(t, filepath.Join(dir, "interpreter"), "#!/no/such\n"):    "500",
		write(t, filepath.Join(dir, "text"), "printf 'A: b\\n\\nx'\n"): "500",
	} {
		s := serve(t, &Host{Path: path})
		if head, _ := s.ask(t, ""); status(head) != want {
			t.Errorf("%s: got %q, want %s", path, head, want)
		}
		s.wantLog(t, "cgi: no complete reply", path)
	}
}

func TestStartFailure(t *testing.T) {
	for err, want := range map[error]int{
		syscall.EAGAIN:      503,
		syscall.ENOMEM:      503,
		syscall.EMFILE:      503,
		errors.New("other"): 500,
	} {
		f := new(failure)
		if !errors.As(startFailure(&fs.PathError{Err: err}), &f) || f.status != want {
			t.Errorf("%v: got %d, want %d", err, f.status, want)
		}
	}
}

// In a program, SIGPIPE kills the writer to a pipe that has no reader, as in any
// shell.
func TestSIGPIPEEndsWriters(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'A: b\n\n'; { { yes 2>/dev/null; echo $? >&3; } | head -n 1 >/dev/null; } 3>&1`)})
	if _, page := s.ask(t, ""); page != "141\n" {
		t.Errorf("yes ended with %q, want 141", page)
	}
}
