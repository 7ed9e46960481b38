//go:build unix

package prefork

// main_test.go has the program that the tests run: a real parent with real children. All of
// them are the test binary, started with a role.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi"
)

// patience bounds every wait of a test.
const patience = 30 * time.Second

// roleVariable names the environment variable that holds a role, in JSON.
const roleVariable = "PREFORK_TEST_ROLE"

// A role makes the test binary run a Program with these fields instead of the tests.
type role struct {
	Addr, HTTPAddr, StatusAddr                 string
	MaxProcesses, MinProcesses                 int
	MaxRequests, MaxMemory                     int64
	MaxAge                                     time.Duration
	StartTimeout, HangTimeout, ShutdownTimeout time.Duration
	User, Group, Chroot                        string

	// Fields of its Server.
	MaxWorkers, MaxAbandoned int
	RequestTimeout           time.Duration

	Record string // the file in which handlers record each request they begin

	Chdir string // main changes to this folder
	Fail  string // main exits with status 7 in a child while this file exists
	Slow  string // main waits in a child while this file exists
	Execs int    // the number of programs that main starts in the parent, checking their exit status
	Moved string // main uses another address while this file exists
	Usr2  bool   // SIGUSR2 ends Run's context
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

// play is the main function of the role.
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

// checkExecs exits with an error if the exit status of a program is lost.
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

// newTestHandler does what the path says, and then answers with its process id. SIGUSR1
// releases held requests.
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

// writeDown records that this process has begun a request. A short append is atomic, so
// several processes may write at once.
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
