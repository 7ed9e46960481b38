//go:build unix

package app

// main_test.go runs Main in a separate process: this test binary, started with
// mainEnv set.

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"example.com/scgi"
	"example.com/scgi/gateway"
	"example.com/scgi/prefork"
)

const mainEnv = "SCGI_TEST_MAIN"

func init() {
	if os.Getenv(mainEnv) == "" {
		return
	}
	if os.Getenv(mainEnv) == "fail" && prefork.IsChild() {
		os.Exit(5)
	}
	Main(scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		if r.Env.Get("REQUEST_URI") == "/pid" {
			fmt.Fprint(w, os.Getpid())
			return
		}
		_, out := fmt.Fprintln(os.Stdout, "to the log")
		_, err := fmt.Fprintln(os.Stderr, "to the log")
		child := exec.Command("/bin/sh", "-c", "kill -PIPE $$")
		_ = child.Run()
		status, _ := child.ProcessState.Sys().(syscall.WaitStatus)
		fmt.Fprint(w, errors.Is(out, syscall.EPIPE), errors.Is(err, syscall.EPIPE), status.Signal() == syscall.SIGPIPE)
	}))
	os.Exit(0)
}

func TestMainSurvivesClosedLog(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	addr := "unix:" + filepath.Join(t.TempDir(), "s")
	cmd := exec.CommandContext(t.Context(), exe, "-scgi", addr, "-http=")
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first, err := bufio.NewReader(stdout).ReadString('\n')
	if want := "SCGI on " + addr + "\n"; first != want {
		t.Errorf("printed %q, %v; want %q", first, err, want)
	}
	stdout.Close()
	stderr.Close()
	client := &http.Client{Transport: &gateway.Transport{Addr: addr}}
	for range 2 {
		if got, want := get(client, "http://site/"), "200 true true true"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// command returns a command that runs Main with args.
func command(t *testing.T, variant string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), mainEnv+"="+variant)
	return cmd
}

// Bad input leads to one line on standard error and nothing on standard output.
func TestMainRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := "unix:" + filepath.Join(t.TempDir(), "s")
	for _, test := range []struct {
		status int
		args   []string
	}{
		{2, []string{"-processes", "2", "-min-processes", "3"}},
		{2, []string{"4001", "4002"}},
		{1, []string{"-user", "no such user"}},
		{1, []string{"-user", "nobody", "-chroot", os.Args[0]}},
		{1, []string{"-scgi", taken.Addr().String(), "-processes", "2"}},
		{1, []string{"-http", taken.Addr().String()}},
	} {
		cmd := command(t, "serve", append([]string{"-scgi", free}, test.args...)...)
		if test.args[0] == "4001" {
			cmd = command(t, "serve", test.args...)
		}
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if cmd.ProcessState.ExitCode() != test.status || stdout.Len() > 0 || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%q: %v, printed %q and %q", test.args, err, &stdout, &stderr)
		}
	}
}

func TestMainServesFromChildren(t *testing.T) {
	addr := "unix:" + filepath.Join(t.TempDir(), "s")
	cmd := command(t, "serve", "-scgi", addr, "-http=", "-processes", "2", "-workers", "1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if first, _ := bufio.NewReader(stdout).ReadString('\n'); first != "SCGI on "+addr+"\n" {
		t.Errorf("printed %q", first)
	}
	client := &http.Client{Transport: &gateway.Transport{Addr: addr}}
	if got := get(client, "http://site/pid"); got == fmt.Sprint("200 ", cmd.Process.Pid) || !strings.HasPrefix(got, "200 ") {
		t.Errorf("got %q; the parent is process %d", got, cmd.Process.Pid)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// If no child comes up, Main exits with the status of a child.
func TestMainExitsWithChildStatus(t *testing.T) {
	cmd := command(t, "fail", "-scgi", "unix:"+filepath.Join(t.TempDir(), "s"), "-http=", "-processes", "2")
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("it ended with %v", err)
	}
}
