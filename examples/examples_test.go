//go:build unix

// Package examples has only tests, which build the examples and run each as its
// user would.
package examples

// examples_test.go runs each example in a process. Every example must exit with
// status 0 on SIGTERM.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/gateway"
)

const testTimeout = time.Minute

// binaries is the folder with the built examples.
var binaries string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	if out, err := exec.Command("go", "build", "-o", dir, "./...").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// example is a running example.
type example struct {
	scgi, url string
	cmd       *exec.Cmd
	log       bytes.Buffer // its standard error
	client    http.Client
}

// start runs an example until the test ends, from the checkout's folder.
func start(t *testing.T, name string, args ...string) *example {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	x := &example{cmd: exec.CommandContext(ctx, filepath.Join(binaries, name), args...)}
	x.client.Timeout = testTimeout
	x.cmd.Dir, x.cmd.Stderr = "..", &x.log
	x.cmd.WaitDelay = 10 * time.Second // a process that an example left behind may keep its output open
	out, err := x.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.stop(t) })
	lines := bufio.NewScanner(out)
	if lines.Scan() {
		x.scgi = strings.TrimPrefix(lines.Text(), "SCGI on ")
	}
	if lines.Scan() {
		x.url = lines.Text()
	}
	if x.url == "" {
		t.Fatalf("%s printed no addresses", name)
	}
	return x
}

var anyPort = []string{"-scgi", "127.0.0.1:0", "-http", "127.0.0.1:0"}

func startAnywhere(t *testing.T, name string, args ...string) *example {
	t.Helper()
	return start(t, name, append(args, anyPort...)...)
}

// stop stops the example. Its log may be read afterwards.
func (x *example) stop(t *testing.T) {
	t.Helper()
	if x.cmd.ProcessState != nil {
		return
	}
	x.client.CloseIdleConnections()
	_ = x.cmd.Process.Signal(syscall.SIGTERM)
	if err := x.cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", x.cmd, err, &x.log)
	}
}

// want fetches a page over HTTP and compares it with a pattern for all of
// "status body".
func (x *example) want(t *testing.T, path, pattern string) {
	t.Helper()
	wantFrom(t, &x.client, x.url+path, pattern)
}

func wantFrom(t *testing.T, client *http.Client, url, pattern string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	wantReply(t, resp, pattern)
}

func wantReply(t *testing.T, resp *http.Response, pattern string) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(resp.StatusCode, " ", string(body))
	if !regexp.MustCompile(`(?s)^(?:` + pattern + `)$`).MatchString(got) {
		t.Errorf("%s: got %q, want %s", resp.Request.URL, got, pattern)
	}
}

func TestTime(t *testing.T) {
	x := startAnywhere(t, "time")
	const page = `200 \w+, \d\d \w+ \d{4} \d\d:\d\d:\d\d \S+\n`
	x.want(t, "", page)
	over := &http.Client{Transport: &gateway.Transport{Addr: x.scgi}}
	wantFrom(t, over, "http://site/", page)
}

func TestTimeOnUnixSocket(t *testing.T) {
	addr := "unix:" + filepath.Join(t.TempDir(), "time.sock")
	x := start(t, "time", "-scgi", addr, "-http", "127.0.0.1:0", "-workers", "1")
	if x.scgi != addr {
		t.Errorf("printed %q, want %q", x.scgi, addr)
	}
	x.want(t, "", `200 .*\n`)
}

func TestPizza(t *testing.T) {
	x := startAnywhere(t, "pizza")
	x.want(t, "?pizza=hawaii&drink=beer", `200 One pizza "hawaii" and one "beer", coming up.\n`)
	x.want(t, "?pizza=hawaii", `400 missing argument: drink\n`)
	x.want(t, "?drink=beer", `400 missing argument: pizza\n`)
}

func TestPizzaCareless(t *testing.T) {
	x := startAnywhere(t, "pizza", "-careless", "-workers", "1")
	const ok = `200 One pizza "hawaii" and one "beer", coming up.\n`
	x.want(t, "?pizza=hawaii&drink=beer", ok)
	x.want(t, "?pizza=hawaii", `500 .*`)
	x.want(t, "?pizza=hawaii&drink=beer", ok)
	x.stop(t)
	served := fmt.Sprintf("process %d serves", x.cmd.Process.Pid)
	if n := strings.Count(x.log.String(), served); n != 2 {
		t.Errorf("%q is %d times in the log, want 2:\n%s", served, n, &x.log)
	}
	if !strings.Contains(x.log.String(), "panic") {
		t.Errorf("no panic in the log:\n%s", &x.log)
	}
}

func TestPizzaBails(t *testing.T) {
	x := startAnywhere(t, "pizza", "-bail", "-processes", "2", "-workers", "1")
	direct := &http.Client{Transport: &gateway.Transport{Addr: x.scgi}}
	const order, ok = "http://site/?pizza=hawaii&drink=beer", `200 One pizza "hawaii" and one "beer", coming up.\n`
	wantFrom(t, direct, order, ok)
	if resp, err := direct.Get("http://site/?pizza=hawaii"); err == nil {
		resp.Body.Close()
		t.Error("an order that ends its process was answered")
	}
	wantFrom(t, direct, order, ok)
	x.stop(t)
	if !strings.Contains(x.log.String(), "bails out: no drink") || !strings.Contains(x.log.String(), "child died") {
		t.Errorf("the log lacks the order or the death of the process:\n%s", &x.log)
	}
}

func TestEnviron(t *testing.T) {
	x := start(t, "environ", "-http", "127.0.0.1:0", "0")
	x.want(t, "a%20b?c", `200 .*QUERY_STRING: "c"\n.*`)
	x.want(t, "a%20b?c", `200 .*REQUEST_URI: "/a%20b\?c"\n.*`)
}

func TestCGI(t *testing.T) {
	x := startAnywhere(t, "cgi", "-root", "/hello")
	x.want(t, "hello/you?q", `200 Hello .*SCRIPT_NAME=/hello PATH_INFO=/you QUERY_STRING=q\n`)
	resp, err := x.client.Post(x.url+"hello", "text/plain", strings.NewReader("12345"))
	if err != nil {
		t.Fatal(err)
	}
	wantReply(t, resp, `200 .*The body has +5 bytes.\n`)
}

// When the script's client disconnects, the only worker serves another client, and
// no process that the script has started is left: the FIFO has no writer.
func TestCGIScriptEndsWithItsClient(t *testing.T) {
	dir := t.TempDir()
	fifo, hang := filepath.Join(dir, "fifo"), filepath.Join(dir, "hang.sh")
	const script = `#!/bin/sh
if [ "$QUERY_STRING" = quick ]; then
	printf 'Content-Type: text/plain\n\nquick\n'
	exit
fi
(echo started; exec sleep 1000) >fifo &
wait
`
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.WriteFile(hang, []byte(script), 0o700)); err != nil {
		t.Fatal(err)
	}
	x := startAnywhere(t, "cgi", "-script", hang, "-workers", "1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://site/", nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := (&gateway.Transport{Addr: x.scgi}).RoundTrip(req)
		ended <- err
	}()
	writers, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer writers.Close()
	if err := writers.SetReadDeadline(time.Now().Add(testTimeout / 2)); err != nil {
		t.Fatal(err)
	}
	output := bufio.NewReader(writers)
	if line, err := output.ReadString('\n'); line != "started\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if rest, err := io.ReadAll(output); len(rest) > 0 || err != nil {
		t.Fatalf("got %q, %v", rest, err)
	}
	x.want(t, "?quick", `200 quick\n`)
}

func TestCGIScriptThatFails(t *testing.T) {
	x := startAnywhere(t, "cgi", "-script", "/bin/false")
	x.want(t, "", `500 `)
	x = startAnywhere(t, "cgi", "-script", "/not/there")
	x.want(t, "", `500 `)
}

// A peer can't set the script's PATH.
func TestCGIEnvironment(t *testing.T) {
	show := filepath.Join(t.TempDir(), "show.sh")
	if err := os.WriteFile(show, []byte("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nenv\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	x := startAnywhere(t, "cgi", "-script", show)
	over := &http.Client{Transport: &gateway.Transport{Addr: x.scgi, Env: func(*http.Request) map[string]string {
		return map[string]string{"PATH": "/evil", "BASH_ENV": "/evil", "REMOTE_USER": "alice"}
	}}}
	resp, err := over.Get("http://site/a%20b?c")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || strings.Contains(string(body), "evil") {
		t.Errorf("got %q, %v", body, err)
	}
	for _, want := range []string{"REMOTE_USER=alice", "PATH_INFO=/a b", "QUERY_STRING=c", "HTTP_HOST=site", "GATEWAY_INTERFACE=CGI/1.1"} {
		if !strings.Contains(string(body), want+"\n") {
			t.Errorf("no %s in %q", want, body)
		}
	}
}

func TestNetHTTP(t *testing.T) {
	x := startAnywhere(t, "nethttp")
	x.want(t, "", `200 .*Hello, stranger, from 127\.0\.0\.1:\d+\..*`)
	x.want(t, "nowhere", `404 .*`)
}

// The user comes from the web server, not from a header field.
func TestNetHTTPUser(t *testing.T) {
	x := startAnywhere(t, "nethttp")
	for variable, name := range map[string]string{"REMOTE_USER": "alice", "HTTP_REMOTE_USER": "stranger"} {
		c, err := net.Dial("tcp", x.scgi)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		header := strings.Join([]string{"CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_URI", "/", variable, "alice", ""}, "\x00")
		fmt.Fprintf(c, "%d:%s,", len(header), header)
		reply, err := io.ReadAll(c)
		if want := "Hello, " + name + ","; err != nil || !strings.Contains(string(reply), want) {
			t.Errorf("%s: got %q, %v, want %q in it", variable, reply, err, want)
		}
	}
}

func TestNetHTTPUpload(t *testing.T) {
	x := startAnywhere(t, "nethttp")
	upload := func(size int) *http.Response {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, err := w.CreateFormFile("file", "zeros")
		if err == nil {
			_, err = part.Write(make([]byte, size))
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		resp, err := x.client.Post(x.url+"upload", w.FormDataContentType(), &form)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	wantReply(t, upload(1<<20), `200 "zeros" 1048576 bytes, SHA-256 30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58\n`)
	wantReply(t, upload(11<<20), `413 .*`)
	resp, err := x.client.PostForm(x.url+"upload", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantReply(t, resp, `400 .*`)
}

func TestNetHTTPEvents(t *testing.T) {
	x := startAnywhere(t, "nethttp")
	resp, err := x.client.Get(x.url + "events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	event, err := bufio.NewReader(resp.Body).ReadString('\n') // while the handler still waits
	if err != nil || !regexp.MustCompile(`^data: \d\d:\d\d:\d\d\n$`).MatchString(event) {
		t.Errorf("got %q, %v", event, err)
	}
	if got := resp.Header.Get("X-Accel-Buffering"); got != "no" {
		t.Errorf("X-Accel-Buffering: %q, want no", got)
	}
}

func TestAddressTaken(t *testing.T) {
	x := startAnywhere(t, "time")
	out, err := exec.Command(filepath.Join(binaries, "time"), "-scgi", x.scgi).CombinedOutput()
	exit, _ := err.(*exec.ExitError)
	if exit == nil || exit.ExitCode() != 1 || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("got %v, output %q, want status 1 and one line", err, out)
	}
}
