package app

// app_test.go runs the parts of a program in this process. Each test waits for
// everything that it started.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/gateway"
	"example.com/scgi/prefork"
)

const testTimeout = 30 * time.Second

// serve starts a program with these arguments.
func serve(ctx context.Context, srv *scgi.Server, scgiAddr, httpAddr string, stdout io.Writer) error {
	a := arguments{prefork.Program{Server: srv, Addr: scgiAddr, HTTPAddr: httpAddr}}
	return a.run(ctx, stdout)
}

// process is a program that serve has started.
type process struct {
	scgi, url string // as printed
	cancel    context.CancelFunc
	ended     chan error
}

func start(t *testing.T, srv *scgi.Server, scgiAddr, httpAddr string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	p := &process{cancel: cancel, ended: make(chan error, 1)}
	r, w := io.Pipe()
	go func() {
		err := serve(ctx, srv, scgiAddr, httpAddr, w)
		_ = w.CloseWithError(err)
		p.ended <- err
	}()
	lines := bufio.NewScanner(r)
	if lines.Scan() {
		p.scgi = strings.TrimPrefix(lines.Text(), "SCGI on ")
	}
	if httpAddr != "" && lines.Scan() {
		p.url = lines.Text()
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	return p
}

// end cancels the program and waits for it.
func (p *process) end(t *testing.T) {
	t.Helper()
	p.cancel()
	if err := <-p.ended; err != nil {
		t.Errorf("run returned %v", err)
	}
}

// get returns the status and body of url, or the text of the error.
func get(client *http.Client, url string) string {
	defer client.CloseIdleConnections()
	resp, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(resp.StatusCode, " ", string(body))
}

// awaitRefused waits until addr refuses connections.
func awaitRefused(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(testTimeout); time.Now().Before(end); {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		_ = c.Close()
	}
	t.Errorf("%s still accepts connections", addr)
}

var hello = scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
	fmt.Fprint(w, "hello ", r.Env.Get("REQUEST_URI"))
})

func TestRunServesBoth(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "s"), "0.0.0.0:0"} {
		p := start(t, &scgi.Server{Handler: hello}, addr, "127.0.0.1:0")
		if got := get(&http.Client{}, p.url+"a?b"); got != "200 hello /a?b" {
			t.Errorf("%s: over HTTP: %q", addr, got)
		}
		direct := &http.Client{Transport: &gateway.Transport{Addr: p.scgi}}
		if got := get(direct, "http://site/c"); got != "200 hello /c" {
			t.Errorf("%s: over SCGI: %q", addr, got)
		}
		p.end(t)
	}
}

func TestRunWithoutHTTP(t *testing.T) {
	p := start(t, &scgi.Server{Handler: hello}, "127.0.0.1:0", "")
	direct := &http.Client{Transport: &gateway.Transport{Addr: p.scgi}}
	if got := get(direct, "http://site/c"); got != "200 hello /c" {
		t.Errorf("got %q", got)
	}
	p.end(t)
}

func TestRunAddressTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	err = serve(context.Background(), &scgi.Server{}, taken.Addr().String(), "127.0.0.1:0", io.Discard)
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("SCGI address taken: %v", err)
	}
	path := filepath.Join(t.TempDir(), "s")
	err = serve(context.Background(), &scgi.Server{}, "unix:"+path, taken.Addr().String(), io.Discard)
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("HTTP address taken: %v", err)
	}
	again, err := scgi.Listen("unix:" + path)
	if err != nil {
		t.Fatalf("the SCGI listener was left open: %v", err)
	}
	_ = again.Close()
}

func TestRunNotActivated(t *testing.T) {
	for _, httpAddr := range []string{"", "127.0.0.1:0"} {
		if serve(context.Background(), &scgi.Server{}, "systemd:", httpAddr, io.Discard) == nil {
			t.Errorf("-http %q: no error", httpAddr)
		}
	}
}

func TestRunEndsWithItsServer(t *testing.T) {
	srv := &scgi.Server{Handler: hello}
	p := start(t, srv, "127.0.0.1:0", "127.0.0.1:0")
	defer p.cancel()
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		t.Errorf("run returned %v", err)
	}
}

// A program that is told to stop finishes the requests in flight.
func TestRunFinishesRequests(t *testing.T) {
	began, release := make(chan bool), make(chan bool)
	srv := &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		began <- true
		<-release
		fmt.Fprint(w, "done")
	})}
	p := start(t, srv, "127.0.0.1:0", "127.0.0.1:0")
	answer := make(chan string)
	go func() { answer <- get(&http.Client{}, p.url) }()
	<-began
	p.cancel()
	awaitRefused(t, strings.Trim(p.url, "htp:/"))
	close(release)
	if got := <-answer; got != "200 done" {
		t.Errorf("got %q", got)
	}
	p.end(t)
}
