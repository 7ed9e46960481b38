//go:build linux

package deploy_test

// balancer_test.go tests the recipe for several hosts and kills one of them under
// load. It asserts what the recipe promises for each web server: only requests in
// flight on the killed host may be lost.

import (
	"errors"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"example.com/scgi/internal/webserver"
)

// hosts are the hosts in the recipes.
var hosts = []string{"127.0.0.2", "127.0.0.3"}

func TestBalancer(t *testing.T) {
	for kind := range lost {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // each test waits until the host is used again
			webserver.Need(t, kind)
			testBalancer(t, kind)
		})
	}
}

// lost is the status that a client gets if its request was in flight on the killed
// host; 0 is an answer from the other host.
var lost = map[webserver.Kind]map[string]statusError{
	webserver.Nginx:    {http.MethodGet: 0, http.MethodPost: http.StatusBadGateway},
	webserver.Lighttpd: {http.MethodGet: http.StatusInternalServerError, http.MethodPost: http.StatusInternalServerError},
	webserver.Apache:   {http.MethodGet: http.StatusInternalServerError, http.MethodPost: http.StatusInternalServerError},
}

func testBalancer(t *testing.T, kind webserver.Kind) {
	app := buildApp(t)
	stanza := strings.Replace(readFile(t, filepath.Join("balancer", string(kind)+".conf")), "listen 80;", "listen LISTEN;", 1)
	first := startApp(t, exec.Command(app, "-hold", "-http=", "-scgi", net.JoinHostPort(hosts[0], "0")))
	second := startApp(t, exec.Command(app, "-http=", "-scgi", net.JoinHostPort(hosts[1], "0")))
	stanza = setPort(t, setPort(t, stanza, first.addr), second.addr)
	l := startLoad(t, "http://"+webserver.Start(t, kind, webserver.Config{Server: stanza}))
	l.awaitAnswer(t, first.cmd.Process.Pid)
	l.awaitAnswer(t, second.cmd.Process.Pid)
	underWay := make(map[string]<-chan error)
	for method := range lost[kind] {
		held := make(chan struct{})
		underWay[method] = l.hold(method, held)
		if got, want := first.next(t), "held "+method; got != want {
			t.Fatalf("the app printed %q, want %q", got, want)
		}
		close(held)
	}
	if gets, posts := l.failures(); gets+posts > 0 {
		t.Errorf("%d GET and %d POST failed with both hosts up", gets, posts)
	}

	_ = first.end(t, syscall.SIGKILL)
	for method, answered := range underWay {
		checkLost(t, method, <-answered, lost[kind][method])
	}
	l.awaitRounds(2) // by then, every request from before the kill has ended
	gets, posts := l.failures()
	if kind == webserver.Nginx && gets > 0 {
		t.Errorf("%d GET were lost with their host", gets)
	}
	if gets > l.of(http.MethodGet) || posts > l.of(http.MethodPost) {
		t.Errorf("%d GET and %d POST were lost; fewer were in flight", gets, posts)
	}
	l.awaitRounds(20)

	again := startApp(t, exec.Command(app, "-http=", "-scgi", first.addr))
	l.awaitAnswer(t, again.cmd.Process.Pid)
	l.stop()
	if laterGets, laterPosts := l.failures(); laterGets != gets || laterPosts != posts {
		t.Errorf("%d GET and %d POST failed later", laterGets-gets, laterPosts-posts)
	}
	t.Logf("%d requests; lost with their host: %d GET, %d POST", l.answered(), gets, posts)
}

func checkLost(t *testing.T, method string, err error, want statusError) {
	t.Helper()
	var got statusError
	if err != nil && !errors.As(err, &got) {
		t.Errorf("%s in flight: %v", method, err)
	}
	if got != want {
		t.Errorf("%s in flight: got %d, want %d", method, int(got), int(want))
	}
}

// setPort replaces the port on the line with addr's host.
func setPort(t *testing.T, stanza, addr string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(stanza, "\n")
	for i, line := range lines {
		if strings.Contains(line, host) {
			lines[i] = strings.Replace(line, "4000", port, 1)
			return strings.Join(lines, "\n")
		}
	}
	t.Fatalf("%s is not in the recipe", host)
	return ""
}

// load runs clients that each send requests to url without a pause.
type load struct {
	url     string
	methods []string // one per client
	client  http.Client
	stopped chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	changed sync.Cond
	rounds  []int          // requests ended, by client
	byPid   map[int]int    // answers, by process
	failed  map[string]int // failures, by method
}

func startLoad(t *testing.T, url string) *load {
	l := &load{
		url:     url,
		methods: []string{"GET", "GET", "POST", "GET", "GET", "POST"},
		stopped: make(chan struct{}),
		byPid:   make(map[int]int), failed: make(map[string]int),
	}
	transport := &http.Transport{MaxIdleConnsPerHost: len(l.methods)}
	l.client = http.Client{Timeout: patience, Transport: transport}
	l.changed.L = &l.mu
	l.rounds = make([]int, len(l.methods))
	for i := range l.methods {
		l.running.Go(func() { l.askAlways(i) })
	}
	t.Cleanup(func() {
		l.stop()
		transport.CloseIdleConnections()
	})
	return l
}

// stop stops the clients and waits for them. It is idempotent.
func (l *load) stop() {
	select {
	case <-l.stopped:
	default:
		close(l.stopped)
	}
	l.running.Wait()
}

func (l *load) askAlways(i int) {
	for {
		select {
		case <-l.stopped:
			return
		default:
		}
		s, err := ask(&l.client, l.methods[i], l.url)
		l.mu.Lock()
		l.rounds[i]++
		if err != nil {
			l.failed[l.methods[i]]++
		} else {
			l.byPid[s.Pid]++
		}
		l.changed.Broadcast()
		l.mu.Unlock()
	}
}

// hold requests /hold until the first host holds a request, which the caller
// signals by closing held. It then sends the error of that request on result.
func (l *load) hold(method string, held <-chan struct{}) (result <-chan error) {
	c := make(chan error, 1)
	l.running.Go(func() {
		for {
			_, err := ask(&l.client, method, l.url+"/hold")
			select {
			case <-held:
				c <- err
				return
			case <-l.stopped:
				return
			default: // the second host answered
			}
		}
	})
	return c
}

// until waits until f returns true. It calls f under the lock. Every request ends
// in bounded time, so f is called again; the test's timeout bounds the whole wait.
func (l *load) until(f func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !f() {
		l.changed.Wait()
	}
}

func (l *load) awaitAnswer(t *testing.T, pid int) {
	t.Helper()
	enough := l.answered() + 200000
	l.until(func() bool { return l.byPid[pid] > 0 || l.total() > enough })
	if l.answers(pid) == 0 {
		t.Fatalf("process %d gets no requests", pid)
	}
}

// awaitRounds waits until each client has finished n more requests.
func (l *load) awaitRounds(n int) {
	l.mu.Lock()
	want := make([]int, len(l.rounds))
	for i, r := range l.rounds {
		want[i] = r + n
	}
	l.mu.Unlock()
	l.until(func() bool {
		for i, r := range l.rounds {
			if r < want[i] {
				return false
			}
		}
		return true
	})
}

func (l *load) failures() (gets, posts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed[http.MethodGet], l.failed[http.MethodPost]
}

func (l *load) answers(pid int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byPid[pid]
}

func (l *load) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total()
}

// total returns the number of answers. The caller holds the lock.
func (l *load) total() (n int) {
	for _, answers := range l.byPid {
		n += answers
	}
	return n
}

// of returns the number of clients that use method.
func (l *load) of(method string) (n int) {
	for _, m := range l.methods {
		if m == method {
			n++
		}
	}
	return n
}
