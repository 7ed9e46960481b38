//go:build unix

package restart

// main_test.go owns the processes of the tests. Rule: they are this very
// program, run again with what to do in an environment variable, and each ends
// by itself if the test does not end it.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi"
)

// patience bounds whatever a test waits for, and lifetime a process that it
// forgot.
const (
	patience = 20 * time.Second
	lifetime = 5 * time.Minute
)

// roleEnv says what a process does: the name of a role, and its arguments.
const roleEnv = "SCGI_RESTART_TEST"

var roles = map[string]func(args []string) error{
	"app":      app,
	"exit":     func([]string) error { os.Exit(3); return nil },
	"mute":     mute,
	"early":    early,
	"parent":   parent,
	"child":    child,
	"watchdog": watchdog,
}

func TestMain(m *testing.M) {
	role, args, _ := strings.Cut(os.Getenv(roleEnv), " ")
	run := roles[role]
	if run == nil {
		os.Exit(checkLeaks(m))
	}
	time.AfterFunc(lifetime, func() { os.Exit(4) })
	if err := run(strings.Fields(args)); err != nil {
		fmt.Fprintln(os.Stderr, role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// checkLeaks runs the tests, and fails if they leave goroutines.
func checkLeaks(m *testing.M) int {
	// The race detector would make each process wait for a second at its end.
	_ = os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	before := runtime.NumGoroutine()
	status := m.Run()
	for end := time.Now().Add(5 * time.Second); status == 0 && runtime.NumGoroutine() > before; {
		if time.Now().After(end) {
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			return 1
		}
		runtime.Gosched()
	}
	return status
}

// app is a program as the package's comment has it, on the addresses in args.
// It says on its standard output what becomes of it.
func app(args []string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM)
	var h Handover
	stopping := make(chan struct{})
	srv := &scgi.Server{Handler: pidHandler(stopping)}
	served := make(chan error, len(args))
	for _, addr := range args {
		l, err := h.Listen(addr)
		if err != nil {
			return err
		}
		go func() { served <- srv.Serve(l) }()
	}
	if err := h.Ready(); err != nil {
		return err
	}
	say("ready")
	for <-signals == syscall.SIGHUP && h.Upgrade(context.Background()) != nil {
		say("failed")
	}
	close(stopping)
	err := srv.Shutdown(context.Background())
	for range args {
		if end := <-served; !errors.Is(end, scgi.ErrServerClosed) {
			return end
		}
	}
	say("bye")
	return err
}

func say(what string) { fmt.Println(what, os.Getpid()) }

// pidHandler answers with its process's id. A request for /hold is answered
// when the process is about to end, and begins to be at once.
func pidHandler(stopping <-chan struct{}) scgi.Handler {
	return scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.Env.Get("REQUEST_URI") == "/hold" {
			say("holding")
			<-stopping
		}
		pid := fmt.Sprint(os.Getpid())
		w.Header().Set("Content-Length", fmt.Sprint(len(pid)))
		_, _ = io.WriteString(w, pid)
	})
}
