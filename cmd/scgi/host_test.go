//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func script(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHostProgram(t *testing.T) {
	dir := t.TempDir()
	path := script(t, filepath.Join(dir, "program"), `printf 'A: b\n\n'; echo "$1 $ONE $OWN $EXTRA $OTHER"; cat; echo trouble >&2`)
	t.Setenv("OWN", "own")
	p := start(t, "host", "-scgi", "unix:"+dir+"/s", "-http", "127.0.0.1:0", "-e", "ONE=1", "-e", "OWN", "-pass", "X,EXTRA", path, "-arg")
	r := run1(t, "", "get", "-d", "body", "-e", "EXTRA=extra", "-e", "OTHER=other", p.addr)
	if r.stdout != "-arg 1 own extra \nbody" || r.status != 0 {
		t.Errorf("got %+v", r)
	}
	if got := fetch(t, p.url); got != "200 -arg 1 own  \n" {
		t.Errorf("over HTTP: got %q", got)
	}
	p.stop(t, syscall.SIGTERM)
	if log := p.stderr.String(); strings.Count(log, "trouble") != 2 {
		t.Errorf("the log is %q", log)
	}
}

func TestHostFolder(t *testing.T) {
	dir := t.TempDir()
	script(t, filepath.Join(dir, "a.cgi"), `printf 'A: b\n\n'; echo "$PATH_INFO"`)
	p := start(t, "host", "-scgi", "127.0.0.1:0", "-http", "127.0.0.1:0", dir)
	if got := fetch(t, p.url+"a.cgi/info"); got != "200 /info\n" {
		t.Errorf("over HTTP: got %q", got)
	}
	if r := run1(t, "", "get", "-e", "SCRIPT_FILENAME="+dir+"/a.cgi/info", p.addr); r.stdout != "/info\n" {
		t.Errorf("got %+v", r)
	}
	if r := run1(t, "", "get", "-f", "-e", "SCRIPT_FILENAME=/bin/sh", p.addr); r.status != exitHTTP {
		t.Errorf("got %+v", r)
	}
}

// A program without a slash in its name is looked up in PATH.
func TestHostFindsProgram(t *testing.T) {
	dir := t.TempDir()
	script(t, filepath.Join(dir, "found"), `printf 'A: b\n\n'; echo found`)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	p := start(t, "host", "-scgi", "127.0.0.1:0", "found")
	if r := run1(t, "", "get", p.addr); r.stdout != "found\n" {
		t.Errorf("got %+v", r)
	}
}

// A request that waits longer than -wait gets a 503.
func TestHostLimits(t *testing.T) {
	fifo := makeFIFO(t)
	path := script(t, filepath.Join(t.TempDir(), "program"), `printf 'A: b\n\n'; read x <`+fifo+`; echo "$x"`)
	p := start(t, "host", "-scgi", "127.0.0.1:0", "-workers", "1", "-wait", "10ms", path)
	first := make(chan result)
	go func() { first <- run1(t, "", "get", p.addr) }()
	gate, err := os.OpenFile(fifo, os.O_WRONLY, 0) // blocks until the program reads
	if err != nil {
		t.Fatal(err)
	}
	if r := run1(t, "", "get", "-f", p.addr); r.status != exitHTTP || !strings.Contains(r.stderr, "503") {
		t.Errorf("the second request: got %+v", r)
	}
	if _, err := io.WriteString(gate, "done\n"); err != nil {
		t.Fatal(err)
	}
	_ = gate.Close()
	if r := <-first; r.stdout != "done\n" {
		t.Errorf("the first request: got %+v", r)
	}
}

// Programs don't inherit the host's handling of SIGPIPE: it kills the writer to a
// pipe that has no reader.
func TestHostProgramGetsSIGPIPE(t *testing.T) {
	path := script(t, filepath.Join(t.TempDir(), "program"), `printf 'A: b\n\n'; { { yes 2>/dev/null; echo $? >&3; } | head -n 1 >/dev/null; } 3>&1`)
	p := start(t, "host", "-scgi", "127.0.0.1:0", path)
	if r := run1(t, "", "get", p.addr); r.stdout != "141\n" {
		t.Errorf("yes ended with %+v", r)
	}
}
