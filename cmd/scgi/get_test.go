//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"example.com/scgi"
)

// serveSCGI serves h until the test ends, and returns its address.
func serveSCGI(t *testing.T, h scgi.Handler) (addr string) {
	t.Helper()
	l, err := scgi.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &scgi.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return l.Addr().String()
}

// echo answers with some variables and the body of the request.
var echo = scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-App", "echo")
	if r.Env.Get("QUERY_STRING") == "missing" {
		w.WriteHeader(http.StatusNotFound)
	}
	for _, name := range []string{"REQUEST_METHOD", "REQUEST_URI", "HTTP_HOST", "HTTPS", "CONTENT_TYPE", "HTTP_X", "REMOTE_USER", "SCRIPT_NAME"} {
		if value, ok := r.Env.Lookup(name); ok && value != "" {
			fmt.Fprintf(w, "%s=%s ", name, value)
		}
	}
	fmt.Fprintf(w, "%q\n", body)
})

const form = "CONTENT_TYPE=application/x-www-form-urlencoded "

func TestGet(t *testing.T) {
	addr := serveSCGI(t, echo)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("of a\nfile"), 0o644); err != nil {
		t.Fatal(err)
	}
	host := "HTTP_HOST=localhost "
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "REQUEST_METHOD=GET REQUEST_URI=/ " + host + "\"\"\n"},
		{[]string{"/a%2Fb?c=d"}, "REQUEST_METHOD=GET REQUEST_URI=/a%2Fb?c=d " + host + "\"\"\n"},
		{[]string{"https://example.org/a"}, "REQUEST_METHOD=GET REQUEST_URI=/a HTTP_HOST=example.org HTTPS=on \"\"\n"},
		{[]string{"-X", "PUT"}, "REQUEST_METHOD=PUT REQUEST_URI=/ " + host + "\"\"\n"},
		{[]string{"-X", "OPTIONS", "*"}, "REQUEST_METHOD=OPTIONS REQUEST_URI=* " + host + "\"\"\n"},
		{[]string{"-H", "X: y", "-H", "Host: h"}, "REQUEST_METHOD=GET REQUEST_URI=/ HTTP_HOST=h HTTP_X=y \"\"\n"},
		{[]string{"-d", "a=b"}, "REQUEST_METHOD=POST REQUEST_URI=/ " + host + form + "\"a=b\"\n"},
		{[]string{"-d", ""}, "REQUEST_METHOD=POST REQUEST_URI=/ " + host + form + "\"\"\n"},
		{[]string{"-d", "@-"}, "REQUEST_METHOD=POST REQUEST_URI=/ " + host + form + "\"of the\\ninput\"\n"},
		{[]string{"-d", "@" + file, "-X", "PUT"}, "REQUEST_METHOD=PUT REQUEST_URI=/ " + host + form + "\"of a\\nfile\"\n"},
		{[]string{"-d", "-", "-H", "Content-Type: a/b"}, "REQUEST_METHOD=POST REQUEST_URI=/ " + host + "CONTENT_TYPE=a/b \"of the\\ninput\"\n"},
		{[]string{"-e", "REMOTE_USER=alice", "-e", "SCRIPT_NAME=/app"}, "REQUEST_METHOD=GET REQUEST_URI=/ " + host + "REMOTE_USER=alice SCRIPT_NAME=/app \"\"\n"},
	} {
		r := run1(t, "of the\ninput", append([]string{"get", addr}, test.args...)...)
		if r.stdout != test.want || r.stderr != "" || r.status != 0 {
			t.Errorf("%q: got %+v, want %q", test.args, r, test.want)
		}
	}
}

func TestGetShowsHeader(t *testing.T) {
	addr := serveSCGI(t, echo)
	const head = "Status: 404 Not Found\r\nX-App: echo\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
	r := run1(t, "", "get", "-i", addr, "/?missing")
	if !strings.HasPrefix(r.stdout, head) || !strings.Contains(r.stdout, "\r\n\r\nREQUEST_METHOD=GET") || r.status != 0 {
		t.Errorf("-i: got %+v", r)
	}
	r = run1(t, "", "get", "-v", addr, "/?missing", "-d", "a\nb")
	want := "> CONTENT_LENGTH: \"3\"\n> SCGI: \"1\"\n> REQUEST_METHOD: \"POST\"\n"
	if !strings.HasPrefix(r.stderr, want) || !strings.Contains(r.stderr, "\n< Status: 404 Not Found\n< X-App: echo\n") || !strings.HasSuffix(r.stderr, "\n< \n") {
		t.Errorf("-v: got %s", r.stderr)
	}
	if strings.Contains(r.stdout, "Status") {
		t.Errorf("-v: got %s", r.stdout)
	}
}

func TestGetWritesFile(t *testing.T) {
	addr := serveSCGI(t, echo)
	file := filepath.Join(t.TempDir(), "file")
	r := run1(t, "", "get", "-o", file, addr)
	got, err := os.ReadFile(file)
	if err != nil || r.stdout != "" || r.status != 0 || !strings.HasSuffix(string(got), "\"\"\n") {
		t.Errorf("got %+v, %q, %v", r, got, err)
	}
}

// With -raw, bytes are sent and written unchanged.
func TestGetRaw(t *testing.T) {
	addr := serveSCGI(t, echo)
	file := filepath.Join(t.TempDir(), "file")
	for request, want := range map[string]string{
		"70:CONTENT_LENGTH\x0027\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00REQUEST_URI\x00/deepthought\x00,What is the answer to life?": "Status: 200 OK\r\n",
		"GET / HTTP/1.0\r\n\r\n": "HTTP/1.1 400 Bad Request\r\n",
	} {
		if err := os.WriteFile(file, []byte(request), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := run1(t, "", "get", "-raw", file, addr); !strings.HasPrefix(r.stdout, want) || r.status != 0 {
			t.Errorf("%q: got %+v", request, r)
		}
	}
}

// reply starts a server that answers every request with text and then closes the
// connection, or keeps it open if hang is true.
func reply(t *testing.T, text string, hang bool) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	end := make(chan struct{})
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer c.Close()
				_, _ = bufio.NewReader(c).ReadString(',') // the header's end
				_, _ = io.WriteString(c, text)
				if hang {
					<-end
				}
			})
		}
	})
	t.Cleanup(func() {
		close(end)
		_ = l.Close()
		done.Wait()
	})
	return l.Addr().String()
}

func TestGetExitStatus(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	missing := serveSCGI(t, echo)
	silent := httptest.NewServer(http.NotFoundHandler()) // waits for the end of a line
	defer silent.Close()
	release := make(chan bool)
	hung := serveSCGI(t, scgi.HandlerFunc(func(http.ResponseWriter, *scgi.Request) { <-release }))
	defer close(release)
	for name, test := range map[string]struct {
		status int
		hint   string // text that the message must contain
		args   []string
	}{
		"HTTP error":         {22, "404 Not Found", []string{missing, "/?missing", "-f"}},
		"HTTP error, no -f":  {0, "", []string{missing, "/?missing"}},
		"unknown host":       {6, "", []string{"no.such.host.invalid:4000"}},
		"refused":            {7, "is the app running", []string{closed.Addr().String()}},
		"refused, raw":       {7, "is the app running", []string{closed.Addr().String(), "-raw", file}},
		"no socket":          {7, "is the app running", []string{"unix:" + dir + "/none"}},
		"no socket file":     {7, "", []string{"unix:" + file}},
		"no reply":           {52, "FastCGI", []string{reply(t, "", false)}},
		"speaks HTTP":        {8, "curl http://", []string{reply(t, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nno", false)}},
		"HTTP, waits":        {8, "curl http://", []string{silent.Listener.Addr().String(), "-m", "50ms"}},
		"SCGI hangs":         {28, "", []string{hung, "-m", "50ms"}},
		"speaks TLS":         {8, "TLS", []string{reply(t, "\x15\x03\x01\x00\x02\x02\x16", false)}},
		"no CGI":             {8, "-v", []string{reply(t, "hello\r\n\r\n", false)}},
		"bad status":         {8, "", []string{reply(t, "Status: ok\r\n\r\n", false)}},
		"header cut":         {18, "incomplete reply", []string{reply(t, "Status: 200 OK\r\nA: b", false)}},
		"body cut":           {18, "incomplete reply", []string{reply(t, "Content-Length: 9\r\n\r\nbody", false)}},
		"slow":               {28, "", []string{reply(t, "", true), "-m", "50ms"}},
		"slow in header":     {28, "", []string{reply(t, "A: b\r\n", true), "-m", "50ms"}},
		"slow in body":       {28, "", []string{reply(t, "A: b\r\n\r\nbody", true), "-m", "50ms"}},
		"slow, raw":          {28, "", []string{reply(t, "", true), "-m", "50ms", "-raw", file}},
		"no such data":       {26, "", []string{missing, "-d", "@" + dir + "/none"}},
		"no such raw":        {26, "", []string{missing, "-raw", dir + "/none"}},
		"data is a folder":   {26, "", []string{missing, "-d", "@" + dir}},
		"output is a folder": {23, "", []string{missing, "-o", dir}},
		"output is full":     {23, "", []string{missing, "-o", "/dev/full"}},
	} {
		if _, err := os.Stat("/dev/full"); err != nil && name == "output is full" {
			continue
		}
		r := run1(t, "", append([]string{"get"}, test.args...)...)
		lines := 1
		if test.status == 0 {
			lines = 0
		}
		if r.status != test.status || strings.Count(r.stderr, "\n") != lines || !strings.Contains(r.stderr, test.hint) {
			t.Errorf("%s: got %+v, want status %d and %q", name, r, test.status, test.hint)
		}
		if test.status == 22 && r.stdout != "" {
			t.Errorf("%s: got the body %q", name, r.stdout)
		}
	}
}

// A reset is reported as a lost connection, even before the reply.
func TestGetReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = bufio.NewReader(c).ReadString(',')
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}()
	if r := run1(t, "", "get", l.Addr().String()); r.status != exitBroken {
		t.Errorf("got %+v", r)
	}
}

func TestGetNoPermission(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := t.TempDir()
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if d == os.TempDir() {
			break
		}
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, "serve", "unix:"+dir+"/s?mode=0600")
	r := runAs(t, &syscall.Credential{Uid: 65534, Gid: 65534}, "", "get", p.addr)
	if r.status != exitConnect || !strings.Contains(r.stderr, "permission to write to the socket") {
		t.Errorf("got %+v", r)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", string(body))
}
