package faults

// hostile_linux_test.go takes away what the server needs of its machine: descriptors, its
// socket's file, processors, disk. A child process is the victim where the whole process is
// affected.

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/leak"
	"example.com/scgi/internal/scgitest"
)

const childVariable = "SCGI_TEST_SOCKET"

// A server that runs out of descriptors waits until there are some, and serves again.
func TestOutOfDescriptors(t *testing.T) {
	if path := os.Getenv(childVariable); path != "" {
		serveWithFewDescriptors(t, path)
		return
	}
	path := shortTempDir(t) + "/s"
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestOutOfDescriptors$", "-test.count=1")
	child.Env = append(os.Environ(), childVariable+"="+path)
	stdin, _ := child.StdinPipe()
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the child says %q", lines.Text())
	}
	addr := &net.UnixAddr{Name: path, Net: "unix"}
	var hold []net.Conn
	for range 60 {
		hold = append(hold, dial(t, addr))
	}
	if !lines.Scan() || lines.Text() != "out" {
		t.Fatalf("the child says %q", lines.Text())
	}
	for _, c := range hold {
		c.Close()
	}
	for range 20 {
		if r := parseReply(t, ask(t, addr, get("/"))); r.Status != 200 {
			t.Errorf("back again: %+v", r)
		}
	}
	stdin.Close()
	for lines.Scan() {
	}
	if err := child.Wait(); err != nil {
		t.Errorf("the child: %v", err)
	}
}

// serveWithFewDescriptors prints ready, prints out when accept fails, and serves until its
// input ends.
func serveWithFewDescriptors(t *testing.T, path string) {
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	few := syscall.Rlimit{Cur: uint64(descriptors() + 20), Max: uint64(descriptors() + 20)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var warned atomic.Bool
	s := &scgi.Server{Logger: slog.New(onWarning(func() {
		if !warned.Swap(true) {
			fmt.Println("out")
		}
	}))}
	leavesNothing(t, s)
	start(t, s, l)
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

// onWarning is a log handler that calls a function for each record.
type onWarning func()

func (f onWarning) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (f onWarning) Handle(context.Context, slog.Record) error        { f(); return nil }
func (f onWarning) WithAttrs([]slog.Attr) slog.Handler               { return f }
func (f onWarning) WithGroup(string) slog.Handler                    { return f }

// Removing the socket's file takes away the address, but does not disturb the server.
func TestSocketFileRemoved(t *testing.T) {
	for _, kind := range []string{"unix", "unix net", "unix portable"} {
		t.Run(kind, func(t *testing.T) {
			release := make(chan bool)
			s := &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
				<-release
				io.WriteString(w, "fine")
			})}
			leavesNothing(t, s)
			l := listen(t, kind)
			start(t, s, l)
			silent, asking := dial(t, l.Addr()), dial(t, l.Addr())
			io.WriteString(asking, get("/"))
			if err := os.Remove(l.Addr().String()); err != nil {
				t.Fatal(err)
			}
			close(release)
			io.WriteString(silent, get("/"))
			for _, c := range []net.Conn{silent, asking} {
				if raw, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(raw), "fine") {
					t.Errorf("%q, %v", raw, err)
				}
			}
			if err := s.Shutdown(within(patience)); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
}

// The server works on one processor.
func TestOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, kind := range faultKinds {
		s := &scgi.Server{Handler: echo, MaxWorkers: 2}
		l := listen(t, kind)
		start(t, s, l)
		request := post("/", "body")
		inParallel(len(request)+1, func(n int) {
			checkAnswer(t, request[:n], askRaw(t, l.Addr(), request[:n]))
			sendAndReset(t, l.Addr(), request[:n])
		})
	}
}

// A full disk fails only the request whose form was to be stored on it.
func TestFullDisk(t *testing.T) {
	const limit = 512 << 10
	leak.TempFiles(t)
	scgitest.LimitFileSize(t, limit)
	l := listen(t, "unix")
	start(t, &scgi.Server{Handler: scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(0); err != nil {
			http.Error(w, err.Error(), http.StatusInsufficientStorage)
		}
	}))}, l)
	for size, status := range map[int]int{8 * limit: http.StatusInsufficientStorage, 10: http.StatusOK} {
		if r := parseReply(t, ask(t, l.Addr(), formRequest("/", size))); r.Status != status {
			t.Errorf("%d bytes: answered with %d %s", size, r.Status, r.Body)
		}
	}
}

// With hardly any memory the collector runs all the time, but requests are served.
func TestTightMemory(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 20))
	for _, kind := range faultKinds {
		l := listen(t, kind)
		start(t, &scgi.Server{Handler: echo}, l)
		inParallel(64, func(n int) {
			body := strings.Repeat("b", n*1000)
			if r := parseReply(t, ask(t, l.Addr(), post("/", body))); r.Status != 200 || r.Body != body {
				t.Errorf("%d bytes came back as %d", len(body), len(r.Body))
			}
		})
	}
}
