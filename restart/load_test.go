//go:build unix

package restart

// load_test.go owns restarts under load, with nginx between the clients and the
// app. Rule: not one request fails, on its way in, under way or waiting, and
// each of the processes has answered some.

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"example.com/scgi/internal/webserver"
)

// A few are enough to see the parts work; CI and every change have the time for
// no more.
var restarts = flag.Int("restarts", intEnv("SCGI_RESTARTS", 5), "restart `n` times in each of the tests under load")

func intEnv(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

// clients ask at the same time, and without a pause.
const clients = 4

// load is requests to url, until it is stopped.
type load struct {
	url     string
	client  http.Client
	stopped chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	changed sync.Cond
	failed  []error
	byPid   map[string]int // how many requests a process has answered
}

func startLoad(t *testing.T, url string) *load {
	transport := &http.Transport{MaxIdleConnsPerHost: clients + 1}
	l := &load{url: url, stopped: make(chan struct{}), byPid: make(map[string]int)}
	l.client = http.Client{Timeout: patience, Transport: transport}
	l.changed.L = &l.mu
	for i := range clients {
		l.running.Go(func() { l.askAlways(i%2 == 1) })
	}
	t.Cleanup(func() {
		l.stop()
		transport.CloseIdleConnections()
	})
	return l
}

// stop is idempotent.
func (l *load) stop() {
	select {
	case <-l.stopped:
	default:
		close(l.stopped)
	}
	l.running.Wait()
}

func (l *load) askAlways(post bool) {
	for {
		select {
		case <-l.stopped:
			return
		default:
			l.ask("/", post)
		}
	}
}

func (l *load) ask(path string, post bool) (pid string) {
	pid, err := l.do(path, post)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = append(l.failed, err)
	} else {
		l.byPid[pid]++
	}
	l.changed.Broadcast()
	return pid
}

func (l *load) do(path string, post bool) (pid string, err error) {
	method, body := "GET", ""
	if post {
		method, body = "POST", strings.Repeat("x", 20000)
	}
	req, err := http.NewRequest(method, l.url+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.100q", resp.Status, got)
	}
	return string(got), err
}

// awaitAnswers waits until process pid has answered some requests, or one has
// failed.
func (l *load) awaitAnswers(pid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.byPid[strconv.Itoa(pid)] < 2*clients && len(l.failed) == 0 {
		l.changed.Wait()
	}
}

// check ends the load and fails the test if anything was lost.
func (l *load) check(t *testing.T) {
	t.Helper()
	l.stop()
	total := 0
	for _, n := range l.byPid {
		total += n
	}
	for i, err := range l.failed {
		if i < 10 {
			t.Error(err)
		}
	}
	t.Logf("%d processes, %d requests, %d failed", len(l.byPid), total, len(l.failed))
	if want := *restarts + 1; len(l.byPid) != want {
		t.Errorf("%d processes have answered, want %d", len(l.byPid), want)
	}
}

// hold starts a request that is under way until its process is about to end.
func (l *load) hold(t *testing.T, out *bufio.Reader) (answered <-chan string) {
	t.Helper()
	pid := make(chan string, 1)
	l.running.Go(func() { pid <- l.ask("/hold", false) })
	await(t, out, "holding")
	return pid
}

// nginxServer has one SCGI server to ask and asks it once, so that a client sees
// every failure.
const nginxServer = `server {
	listen LISTEN;
	location / {
		include scgi_params;
		scgi_next_upstream off;
		scgi_pass BACKEND;
	}
}`

// startNginx starts nginx before the SCGI server at backend, in its own
// grammar, and returns its URL. It ends with the test.
func startNginx(t *testing.T, backend string) (url string) {
	t.Helper()
	text := strings.Replace(nginxServer, "BACKEND", backend, 1)
	return "http://" + webserver.Start(t, webserver.Nginx, webserver.Config{Server: text, AsRoot: true})
}

// each runs f with an address for scgi.Listen, and the same for nginx.
func each(t *testing.T, f func(t *testing.T, addr, backend string)) {
	webserver.Need(t, webserver.Nginx)
	t.Run("tcp", func(t *testing.T) {
		addr := webserver.FreeAddr(t)
		f(t, addr, addr)
	})
	t.Run("unix", func(t *testing.T) {
		addr := "unix:" + socketPath(t)
		f(t, addr, addr)
	})
}

// startApp starts the app on addr. Its output is the one that output set.
func startApp(t *testing.T, addr string, files ...*os.File) *exec.Cmd {
	t.Helper()
	// systemd sets LISTEN_PID between fork and exec; so does the shell.
	cmd := exec.Command("/bin/sh", "-c", `export LISTEN_PID=$$; exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=app "+addr, fmt.Sprint("LISTEN_FDS=", len(files)))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// The first process is the test's child, the others are each other's.
func TestHandoverUnderLoad(t *testing.T) {
	each(t, func(t *testing.T, addr, backend string) {
		out := output(t)
		first := startApp(t, addr)
		current := await(t, out, "ready")
		t.Cleanup(func() { _ = syscall.Kill(current, syscall.SIGTERM) })
		l := startLoad(t, startNginx(t, backend))
		l.awaitAnswers(current)
		for range *restarts {
			held := l.hold(t, out)
			kill(t, current, syscall.SIGHUP)
			next := awaitHandover(t, out, current)
			if pid := <-held; pid != strconv.Itoa(current) {
				t.Errorf("the request under way was answered by %q, not %d", pid, current)
			}
			l.awaitAnswers(next)
			current = next
		}
		l.check(t)
		if err := first.Wait(); err != nil {
			t.Error(err)
		}
		kill(t, current, syscall.SIGTERM)
		await(t, out, "bye")
		if path, ok := strings.CutPrefix(addr, "unix:"); ok && exists(path) {
			t.Error("the last process has left its file behind")
		}
	})
}

// awaitHandover reads what both processes say, in whatever order.
func awaitHandover(t *testing.T, out *bufio.Reader, old int) (next int) {
	t.Helper()
	for ended := false; next == 0 || !ended; {
		line, err := out.ReadString('\n')
		var word string
		var pid int
		if _, scanErr := fmt.Sscan(line, &word, &pid); err != nil || scanErr != nil {
			t.Fatalf("a process says %q, %v", line, err)
		}
		switch {
		case word == "ready" && pid != old && next == 0:
			next = pid
		case word == "bye" && pid == old:
			ended = true
		default:
			t.Fatalf("process %d says %s; the old one is %d", pid, word, old)
		}
	}
	return next
}

func kill(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
}

// The test holds the socket, as systemd does, and starts one process after the
// end of the other: meanwhile requests wait in the socket.
func TestSupervisedUnderLoad(t *testing.T) {
	each(t, func(t *testing.T, addr, backend string) {
		out := output(t)
		socket := supervisedSocket(t, addr)
		app := startApp(t, "systemd:", socket)
		t.Cleanup(func() { _ = app.Process.Kill() })
		current := await(t, out, "ready")
		l := startLoad(t, startNginx(t, backend))
		l.awaitAnswers(current)
		for range *restarts {
			held := l.hold(t, out)
			kill(t, current, syscall.SIGTERM)
			await(t, out, "bye")
			if err := app.Wait(); err != nil {
				t.Error(err)
			}
			if pid := <-held; pid != strconv.Itoa(current) {
				t.Errorf("the request under way was answered by %q, not %d", pid, current)
			}
			app = startApp(t, "systemd:", socket)
			current = await(t, out, "ready")
			l.awaitAnswers(current)
		}
		l.check(t)
		kill(t, current, syscall.SIGTERM)
		await(t, out, "bye")
		if err := app.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func supervisedSocket(t *testing.T, addr string) *os.File {
	t.Helper()
	network, name := "tcp", addr
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, name = "unix", path
	}
	l, err := net.Listen(network, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
