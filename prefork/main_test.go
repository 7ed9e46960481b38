//go:build unix

package prefork

// main_test.go owns the program that the tests run. Rule: it is a real parent
// with real children: the test binary itself, started with a role.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/gateway"
)

// patience bounds whatever a test waits for.
const patience = 30 * time.Second

// roleVariable holds a role, in JSON.
const roleVariable = "PREFORK_TEST_ROLE"

// A role is what the test binary does in place of the tests: it runs a Program
// with these fields.
type role struct {
	Addr, HTTPAddr, StatusAddr                 string
	MaxProcesses, MinProcesses                 int
	MaxRequests, MaxMemory                     int64
	MaxAge                                     time.Duration
	StartTimeout, HangTimeout, ShutdownTimeout time.Duration
	User, Group, Chroot                        string

	// Of its Server.
	MaxWorkers, MaxAbandoned int
	RequestTimeout           time.Duration

	Record string // the file in which handlers write down what they begin

	Chdir string // main changes its folder
	Fail  string // main ends with status 7 in a child while this file exists
	Slow  string // main waits in a child while this file exists
	Execs int    // main starts so many programs in the parent, and checks how they end
	Moved string // main wants another address while this file exists
	Usr2  bool   // Run's context ends by SIGUSR2
}

var discard = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(roleVariable)
	if !ok {
		os.Exit(m.Run())
	}
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		panic(err)
	}
	if err := r.play(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		os.Exit(1)
	}
}

// play is main.
func (r *role) play() error {
	if r.Chdir != "" {
		if err := os.Chdir(r.Chdir); err != nil {
			return err
		}
	}
	if IsChild() && exists(r.Fail) {
		os.Exit(7)
	}
	for IsChild() && exists(r.Slow) {
		time.Sleep(time.Millisecond)
	}
	if !IsChild() && r.Execs > 0 {
		go checkExecs(r.Execs)
	}
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	p := Program{
		Addr: r.Addr, HTTPAddr: r.HTTPAddr, StatusAddr: r.StatusAddr,
		MaxProcesses: r.MaxProcesses, MinProcesses: r.MinProcesses,
		MaxRequests: r.MaxRequests, MaxMemory: r.MaxMemory, MaxAge: r.MaxAge,
		StartTimeout: r.StartTimeout, HangTimeout: r.HangTimeout, ShutdownTimeout: r.ShutdownTimeout,
		User: r.User, Group: r.Group, Chroot: r.Chroot,
	}
	if exists(r.Moved) {
		p.Addr = "127.0.0.1:1"
	}
	p.Server = &scgi.Server{
		Handler:        newTestHandler(r.Record),
		MaxWorkers:     r.MaxWorkers,
		MaxAbandoned:   r.MaxAbandoned,
		RequestTimeout: r.RequestTimeout,
	}
	p.OnReady = func(addr, httpAddr string) { fmt.Println("ready", addr, httpAddr) }
	defer fmt.Println("bye", os.Getpid())
	ctx := context.Background()
	if r.Usr2 {
		ctx, _ = signal.NotifyContext(ctx, syscall.SIGUSR2)
	}
	return p.Run(ctx)
}

// checkExecs ends the process if an exit status is lost.
func checkExecs(n int) {
	for range n {
		var exit *exec.ExitError
		if err := exec.Command("sh", "-c", "sleep 0.02; exit 5").Run(); !errors.As(err, &exit) || exit.ExitCode() != 5 {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("execs are done")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return path != "" && err == nil
}

// newTestHandler answers with its process id, after it has done what the path
// says. SIGUSR1 releases what it holds.
func newTestHandler(record string) scgi.Handler {
	released, signals := make(chan bool), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		<-signals
		close(released)
	}()
	return scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		word, arg, _ := strings.Cut(r.Env.Get("REQUEST_URI")[1:], "/")
		if record != "" {
			writeDown(record, arg)
		}
		switch word {
		case "exit":
			status, _ := strconv.Atoi(arg)
			os.Exit(status)
		case "overflow":
			debug.SetMaxStack(1 << 20)
			sink = overflow(0)
		case "race":
			mapRace()
		case "spin":
			spin()
		case "hog":
			hog()
		case "hold":
			fmt.Println("holding", os.Getpid())
			<-released
		case "stuck":
			fmt.Println("stuck", os.Getpid())
			select {}
		case "start":
			cmd := exec.Command("sleep", "1000")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: arg == "group"}
			_ = cmd.Start()
			fmt.Fprint(w, cmd.Process.Pid)
			return
		case "inherited":
			text, _ := exec.Command("sh", "-c", "env; ls -l /proc/self/fd").CombinedOutput()
			_, _ = w.Write(text)
			return
		case "orphan":
			_ = exec.Command("sh", "-c", "sleep 0.1 &").Run()
		case "who":
			tellWho(w)
			return
		}
		fmt.Fprint(w, os.Getpid())
	})
}

// writeDown notes that this process has begun a request. A short write at the end
// of a file is whole or not there, whoever else writes.
func writeDown(record, number string) {
	f, err := os.OpenFile(record, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		_, err = fmt.Fprintf(f, "%s %d\n", number, os.Getpid())
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		panic(err)
	}
}

func tellWho(w io.Writer) {
	groups, _ := os.Getgroups()
	var root []string
	entries, _ := os.ReadDir("/")
	for _, e := range entries {
		root = append(root, e.Name())
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"UID": os.Getuid(), "GID": os.Getgid(), "Pid": os.Getpid(), "Groups": groups, "Root": root,
	})
}

func overflow(n int) int {
	if n < 0 {
		return n
	}
	return overflow(n+1) + 1
}

func mapRace() {
	m := make(map[int]int)
	for range 8 {
		go func() {
			for i := 0; ; i++ {
				m[i%8] = i
			}
		}()
	}
	select {}
}

//go:noinline
func spin() {
	for i := 0; ; i++ {
		sink = i
	}
}

var (
	sink int
	kept [][]byte
)

func hog() {
	for {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = 1
		}
		kept = append(kept, b)
	}
}

// program under test.
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
	noise []string // of standard error, not log lines
	ended chan struct{}
	err   error
}

// run starts r, and waits until it is ready. It is killed after the test, if it
// did not end before.
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
		readers.Wait() // children that outlived their parent would hold the pipes
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
	_ = r.SetReadDeadline(time.Now().Add(2 * patience))
	return r, w
}

// tempDir is short enough for a socket, and everyone may enter it.
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

func (a *app) read(f *os.File, take func(string)) {
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
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

// await waits until found says so, under the lock.
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

// awaitLog waits for the n-th record with this message, and with these values.
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

// get returns the answer to path.
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

// pid returns the process that answers to path.
func (a *app) pid(path string) int {
	a.t.Helper()
	text, err := a.get(path)
	pid, numErr := strconv.Atoi(text)
	if err != nil || numErr != nil {
		a.t.Fatalf("%s: %q, %v", path, text, err)
	}
	return pid
}

// pidOverHTTP returns the process that answers to the front end.
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

// queue sends a request, and returns a function that reads the answer.
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

// held starts a request that is under way until release, and returns its child.
// answered gets the error it ends with.
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

// wait waits for the parent's end.
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

// end ends the app in order.
func (a *app) end() {
	a.t.Helper()
	a.signal(syscall.SIGTERM)
	if err := a.wait(); err != nil {
		a.t.Error(err)
	}
}

// children are the ids of the processes whose parent is the app.
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

// awaitGone polls until there is no process pid.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	awaitState(t, pid, 0)
}

// awaitState polls until process pid is in a state, as ps calls it; 0 is gone.
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
