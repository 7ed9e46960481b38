//go:build unix

package prefork

// app_test.go starts the program that main_test.go defines, sends requests to it, and reads
// its output.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/gateway"
)

// app is a run of the program under test.
type app struct {
	t      *testing.T
	cmd    *exec.Cmd
	addr   string
	url    string
	client *http.Client

	mu    sync.Mutex
	news  sync.Cond
	out   []string // lines of standard output
	log   []map[string]any
	noise []string // lines of standard error other than log lines
	ended chan struct{}
	err   error
}

// run starts r and waits until it is ready. If it has not ended by the end of the test, it
// is killed.
func run(t *testing.T, r role, env ...string) *app {
	t.Helper()
	a := launch(t, r, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, env...) })
	a.open()
	return a
}

// open waits until the app serves.
func (a *app) open() {
	a.t.Helper()
	line := a.awaitOut("ready")
	fields := strings.Fields(line)
	a.addr = fields[1]
	if len(fields) > 2 {
		a.url = "http://" + fields[2]
	}
	a.client = &http.Client{Transport: &gateway.Transport{Addr: a.addr}, Timeout: patience}
}

func launch(t *testing.T, r role, change func(*exec.Cmd)) *app {
	t.Helper()
	if r.Addr == "" {
		r.Addr = "unix:" + filepath.Join(tempDir(t), "s")
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{t: t, cmd: exec.Command(os.Args[0], "-test.run=none"), ended: make(chan struct{})}
	a.news.L = &a.mu
	a.cmd.Env = append(os.Environ(), roleVariable+"="+string(text), "GORACE=atexit_sleep_ms=0")
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if change != nil {
		change(a.cmd)
	}
	out, outW := pipe(t)
	log, logW := pipe(t)
	a.cmd.Stdout, a.cmd.Stderr = outW, logW
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = outW.Close(), logW.Close()
	var readers sync.WaitGroup
	readers.Go(func() { a.read(out, a.takeOut) })
	readers.Go(func() { a.read(log, a.takeLog) })
	go func() {
		err := a.cmd.Wait()
		a.mu.Lock()
		a.err = err
		a.mu.Unlock()
		close(a.ended)
		a.news.Broadcast()
	}()
	t.Cleanup(func() {
		_ = a.cmd.Process.Kill()
		<-a.ended
		readers.Wait() // waits for children too, since they hold the pipes
		if t.Failed() {
			a.show()
		}
	})
	return a
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// tempDir returns a folder whose path is short enough for a socket, and which every user may
// enter.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// read takes the lines of f until it ends, or says nothing for long.
func (a *app) read(f *os.File, take func(string)) {
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	isOpen := func() bool { return f.SetReadDeadline(time.Now().Add(2*patience)) == nil }
	for isOpen() && lines.Scan() {
		a.mu.Lock()
		take(lines.Text())
		a.mu.Unlock()
		a.news.Broadcast()
	}
}

func (a *app) takeOut(line string) { a.out = append(a.out, line) }

func (a *app) takeLog(line string) {
	var record map[string]any
	if json.Unmarshal([]byte(line), &record) == nil {
		a.log = append(a.log, record)
	} else {
		a.noise = append(a.noise, line)
	}
}

func (a *app) show() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.log {
		a.t.Log(r)
	}
	a.t.Log(strings.Join(a.noise[:min(len(a.noise), 50)], "\n"))
}

// await waits until found, called under the lock, reports true.
func (a *app) await(what string, found func() bool) {
	a.t.Helper()
	late := time.AfterFunc(patience, a.news.Broadcast)
	defer late.Stop()
	end := time.Now().Add(patience)
	a.mu.Lock()
	defer a.mu.Unlock()
	for !found() {
		if time.Now().After(end) {
			a.t.Fatalf("waited for %s", what)
		}
		a.news.Wait()
	}
}

// awaitOut takes the first line of standard output that begins with word.
func (a *app) awaitOut(word string) (line string) {
	a.t.Helper()
	a.await(word, func() bool {
		i := slices.IndexFunc(a.out, func(l string) bool { return strings.HasPrefix(l, word+" ") })
		if i >= 0 {
			line = a.out[i]
			a.out = slices.Delete(a.out, i, i+1)
		}
		return i >= 0
	})
	return line
}

// awaitLog waits for the n-th record with this message and these values.
func (a *app) awaitLog(n int, msg string, want map[string]any) map[string]any {
	a.t.Helper()
	var got map[string]any
	a.await(msg, func() bool {
		left := n
		for _, r := range a.log {
			if r["msg"] == "prefork: "+msg && contains(r, want) {
				if left--; left == 0 {
					got = r
				}
			}
		}
		return got != nil
	})
	return got
}

func contains(r, want map[string]any) bool {
	for key := range maps.Keys(want) {
		if fmt.Sprint(r[key]) != fmt.Sprint(want[key]) {
			return false
		}
	}
	return true
}

// get returns the answer to a GET of path.
func (a *app) get(path string) (string, error) {
	resp, err := a.client.Get("http://site" + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200q", resp.Status, body)
	}
	return string(body), err
}

// pid returns the id of the process that answers a GET of path.
func (a *app) pid(path string) int {
	a.t.Helper()
	text, err := a.get(path)
	pid, numErr := strconv.Atoi(text)
	if err != nil || numErr != nil {
		a.t.Fatalf("%s: %q, %v", path, text, err)
	}
	return pid
}

// pidOverHTTP returns the id of the process that answers through the HTTP front end.
func (a *app) pidOverHTTP() int {
	a.t.Helper()
	resp, err := http.Get(a.url)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		a.t.Fatal(err)
	}
	return pid
}

// queue sends a request and returns a function that reads the answer.
func (a *app) queue(path string) (answer func() string) {
	a.t.Helper()
	if file, ok := strings.CutPrefix(a.addr, "unix:"); ok {
		return queueAt(a.t, "unix", file, path)
	}
	return queueAt(a.t, "tcp", a.addr, path)
}

func queueAt(t *testing.T, network, addr, path string) (answer func() string) {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	header := "CONTENT_LENGTH\x000\x00SCGI\x001\x00REQUEST_METHOD\x00GET\x00REQUEST_URI\x00" + path + "\x00"
	if _, err := fmt.Fprintf(c, "%d:%s,", len(header), header); err != nil {
		t.Fatal(err)
	}
	return func() string {
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		text, _ := io.ReadAll(c)
		return string(text)
	}
}

// held starts a request that runs until release is called, and returns its child's id.
// answered delivers the error with which the request ends.
func (a *app) held() (pid int, answered <-chan error) {
	a.t.Helper()
	end := make(chan error, 1)
	go func() {
		_, err := a.get("/hold")
		end <- err
	}()
	_, _ = fmt.Sscan(strings.TrimPrefix(a.awaitOut("holding"), "holding "), &pid)
	return pid, end
}

func (a *app) release(pid int) { signalTo(a.t, pid, syscall.SIGUSR1) }

func signalTo(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
}

func (a *app) signal(sig syscall.Signal) { signalTo(a.t, a.cmd.Process.Pid, sig) }

// wait waits until the parent exits.
func (a *app) wait() error {
	a.t.Helper()
	a.await("the end", func() bool {
		select {
		case <-a.ended:
			return true
		default:
			return false
		}
	})
	return a.err
}

// end shuts the app down.
func (a *app) end() {
	a.t.Helper()
	a.signal(syscall.SIGTERM)
	if err := a.wait(); err != nil {
		a.t.Error(err)
	}
}

// children returns the ids of the app's child processes.
func (a *app) children() (pids []int) {
	a.t.Helper()
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		a.t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		var pid, parent int
		if n, _ := fmt.Sscan(line, &pid, &parent); n == 2 && parent == a.cmd.Process.Pid {
			pids = append(pids, pid)
		}
	}
	return pids
}

// awaitGone polls until process pid is gone.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	awaitState(t, pid, 0)
}

// awaitState polls until process pid is in a state, given by ps's letter; 0 means gone.
func awaitState(t *testing.T, pid int, want byte) {
	t.Helper()
	for end := time.Now().Add(patience); stateOf(pid) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is in state %q, not %q", pid, stateOf(pid), want)
		}
	}
}

func stateOf(pid int) byte {
	out, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	if len(out) == 0 || out[0] == 'Z' {
		return 0
	}
	return out[0]
}

func poll(t *testing.T, what string, found func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !found(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

func makeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}
