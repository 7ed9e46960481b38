//go:build unix

package prefork

// load_test.go tests the program under load, with nginx between the clients and the app. A
// request may fail only if it was in a child that died, and no connection may be refused.
// Every failure is accounted for twice: in the handlers' own record and in nginx's log.

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"example.com/scgi/internal/webserver"
)

// A few rounds show that the parts work; "make prefork" runs many.
var (
	kills     = flag.Int("kills", 10, "kill `n` children by SIGKILL in each of the tests under load")
	exits     = flag.Int("exits", 4, "let `n` handlers call os.Exit")
	overflows = flag.Int("overflows", 2, "let `n` handlers overflow their stack")
	hogs      = flag.Int("hogs", 2, "let `n` handlers take all memory")
	reloads   = flag.Int("reloads", 4, "reload `n` times")
	restarts  = flag.Int("restarts", 4, "end the program and start it again `n` times, with a supervisor's socket")
	recycles  = flag.Int("recycles", 10, "replace `n` worn children")
)

const (
	loadClients  = 8 // each sends requests without a pause
	loadChildren = 4
	loadWorkers  = 4 // in each child
)

// load sends requests through nginx until it is stopped.
type load struct {
	t        *testing.T
	a        *app
	url      string
	record   string // the file in which handlers record each request they begin
	nginxLog string
	client   http.Client
	stopped  chan struct{}
	clients  sync.WaitGroup
	last     atomic.Int64 // the number of the last request

	mu     sync.Mutex
	served map[int]int   // requests answered, by process
	failed map[int]error // by request number
	deadly map[int]bool  // requests that kill their child
}

// underLoad runs f over TCP and over a unix socket, with a load on an app of r.
func underLoad(t *testing.T, r role, change func(*exec.Cmd), f func(*load)) {
	webserver.Need(t, webserver.Nginx)
	for _, addr := range []string{"127.0.0.1:0", "unix:"} {
		t.Run(strings.TrimSuffix(addr, ":"), func(t *testing.T) {
			dir := tempDir(t)
			r.Addr, r.Record = addr, filepath.Join(dir, "record")
			if addr == "unix:" {
				r.Addr = "unix:" + filepath.Join(dir, "s")
			}
			l := startLoad(t, r, change)
			f(l)
			l.check()
		})
	}
}

func startLoad(t *testing.T, r role, change func(*exec.Cmd)) *load {
	t.Helper()
	r.MaxProcesses, r.MinProcesses, r.MaxWorkers = loadChildren, loadChildren, loadWorkers
	l := &load{
		t: t, record: r.Record, nginxLog: r.Record + ".nginx", stopped: make(chan struct{}),
		served: make(map[int]int), failed: make(map[int]error), deadly: make(map[int]bool),
	}
	l.a = launch(t, r, change)
	l.a.open()
	l.a.awaitLog(loadChildren, "child is serving", nil)
	server := fmt.Sprintf(`server {
		listen LISTEN;
		error_log %s info;
		location / {
			include scgi_params;
			scgi_next_upstream off;
			scgi_pass %s;
		}
	}`, l.nginxLog, l.a.addr)
	l.url = "http://" + webserver.Start(t, webserver.Nginx, webserver.Config{Server: server, AsRoot: true})
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * loadClients}
	l.client = http.Client{Timeout: patience, Transport: transport}
	for i := range loadClients {
		l.clients.Go(func() { l.askAlways(i%2 == 1) })
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
	l.clients.Wait()
}

func (l *load) askAlways(post bool) {
	for {
		select {
		case <-l.stopped:
			return
		default:
			l.ask("load", post)
		}
	}
}

// ask sends a request with a number, and records how it ended.
func (l *load) ask(word string, post bool) (pid int) {
	number := int(l.last.Add(1))
	pid, err := l.do(fmt.Sprintf("/%s/%d", word, number), post)
	l.mu.Lock()
	defer l.mu.Unlock()
	if word != "load" {
		l.deadly[number] = true
	}
	if err != nil {
		l.failed[number] = err
	} else {
		l.served[pid]++
	}
	return pid
}

func (l *load) do(path string, post bool) (pid int, err error) {
	method, body := http.MethodGet, ""
	if post {
		method, body = http.MethodPost, strings.Repeat("x", 20000)
	}
	req, err := http.NewRequest(method, l.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %.100q", resp.Status, text)
	}
	return strconv.Atoi(string(text))
}

// count returns the number of requests answered.
func (l *load) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, answered := range l.served {
		n += answered
	}
	return n
}

// awaitAnswers waits until n more requests are answered.
func (l *load) awaitAnswers(n int) {
	l.t.Helper()
	n += l.count()
	poll(l.t, "answers", func() bool { return l.count() >= n })
}

// dead returns the children whose death was logged.
func (l *load) dead() map[int]bool {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	pids := make(map[int]bool)
	for _, r := range l.a.log {
		if r["msg"] == "prefork: child died" {
			pids[int(r["pid"].(float64))] = true
		}
	}
	return pids
}

// begun returns which process began which request.
func (l *load) begun() map[int]int {
	l.t.Helper()
	f, err := os.Open(l.record)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	begun := make(map[int]int)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var number, pid int
		if n, _ := fmt.Sscan(lines.Text(), &number, &pid); n == 2 {
			begun[number] = pid
		}
	}
	return begun
}

// check ends the load and the app, and accounts for every failed request.
func (l *load) check() {
	l.t.Helper()
	l.stop()
	l.a.end()
	dead, begun := l.dead(), l.begun()
	accepted := 0 // requests that a child accepted, before it died and before their handler ran
	for number, err := range l.failed {
		switch pid, known := begun[number]; {
		case !known:
			accepted++
		case !dead[pid]:
			l.t.Errorf("request %d failed in process %d, which did not die: %v", number, pid, err)
		}
	}
	if most := len(dead) * loadWorkers; len(l.failed) > most {
		l.t.Errorf("%d requests failed in %d dead children of %d workers", len(l.failed), len(dead), loadWorkers)
	}
	l.checkNginx()
	l.t.Logf("%d requests answered by %d processes; %d children died, and %d requests in them (%d before their handler ran)",
		l.count(), len(l.served), len(dead), len(l.failed), accepted)
}

// checkNginx looks in nginx's log for refused connections, and for failures that no client
// saw.
func (l *load) checkNginx() {
	l.t.Helper()
	text, err := os.ReadFile(l.nginxLog)
	if err != nil {
		l.t.Fatal(err)
	}
	cut := 0
	for line := range strings.Lines(string(text)) {
		switch {
		case !strings.Contains(line, "upstream: "):
		case strings.Contains(line, "connect() "):
			l.t.Errorf("nginx failed to connect: %s", line)
		case strings.Contains(line, "prematurely closed") || strings.Contains(line, "reset by peer") || strings.Contains(line, "Broken pipe"):
			cut++
		default:
			l.t.Errorf("nginx logged %s", line)
		}
	}
	if cut != len(l.failed) {
		l.t.Errorf("nginx lost %d requests, the clients %d", cut, len(l.failed))
	}
}

// child returns any child that serves.
func (l *load) child() (pid int) {
	l.t.Helper()
	poll(l.t, "a child", func() bool {
		if pids := l.children(); len(pids) > 0 {
			pid = pids[rand.N(len(pids))]
		}
		return pid > 0
	})
	return pid
}

// children returns the children that serve, according to the log.
func (l *load) children() (pids []int) {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	for _, r := range l.a.log {
		pid, _ := r["pid"].(float64)
		switch r["msg"] {
		case "prefork: child is serving":
			pids = append(pids, int(pid))
		case "prefork: child died", "prefork: child exited":
			pids = slices.DeleteFunc(pids, func(p int) bool { return p == int(pid) })
		}
	}
	return pids
}

// Whatever kills children, only the requests that they were running fail.
func TestKilledChildrenUnderLoad(t *testing.T) {
	limited, err := limitMemory(t, 256<<20)
	if err != nil {
		*hogs = 0
		t.Log("skipping the memory hog: ", err)
	}
	underLoad(t, role{}, limited, func(l *load) {
		died := 0
		next := func() {
			died++
			l.a.awaitLog(died, "child died", nil)
			l.awaitAnswers(loadClients)
		}
		for range *kills {
			signalTo(t, l.child(), syscall.SIGKILL)
			next()
		}
		for range *exits {
			l.ask("exit", false)
			next()
		}
		for range *overflows {
			l.ask("overflow", false)
			next()
		}
		for range *hogs {
			l.ask("hog", false)
			next()
		}
	})
}

// Reloads lose no request.
func TestReloadsUnderLoad(t *testing.T) {
	underLoad(t, role{}, nil, func(l *load) {
		for n := range *reloads {
			l.a.signal(syscall.SIGHUP)
			l.a.awaitLog(n+1, "reloaded", nil)
			l.a.awaitLog((n+1)*loadChildren, "child exited", nil)
			l.awaitAnswers(loadClients)
		}
		if n := len(l.failed); n > 0 {
			t.Errorf("%d requests failed", n)
		}
	})
}

// Recycling worn children loses no request either.
func TestRecyclesUnderLoad(t *testing.T) {
	underLoad(t, role{MaxRequests: 10}, nil, func(l *load) {
		for n := 0; n < *recycles; { // wait one by one, since all may take longer than patience
			n = min(n+20, *recycles)
			l.a.awaitLog(n, "child exited", nil)
		}
		if n := len(l.failed); n > 0 {
			t.Errorf("%d requests failed", n)
		}
	})
}

// A supervisor's socket outlives the program. Requests that arrive while the program is
// away wait in the socket.
func TestRestartsUnderLoad(t *testing.T) {
	webserver.Need(t, webserver.Nginx)
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(tempDir(t), "s")} {
		t.Run(network, func(t *testing.T) {
			r := role{
				Addr: "fd:0", Record: filepath.Join(tempDir(t), "record"),
				MaxProcesses: loadChildren, MinProcesses: loadChildren, MaxWorkers: loadWorkers,
			}
			socket := supervised(t, network, addr)
			pass := func(cmd *exec.Cmd) { cmd.Stdin = socket.file }
			l := startLoad(t, r, pass)
			for range *restarts {
				l.awaitAnswers(loadClients)
				l.a.end()
				l.a = launch(t, r, pass)
				l.a.awaitLog(1, "child is serving", nil) // the answers below may come from the previous app
			}
			l.awaitAnswers(loadClients)
			l.check()
			if n := len(l.failed); n > 0 {
				t.Errorf("%d requests failed", n)
			}
		})
	}
}
