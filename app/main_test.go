//go:build unix

package app

// main_test.go runs Main as a process of its own. Rule: the process is this test
// program, started with mainEnv set.

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"example.com/scgi"
	"example.com/scgi/gateway"
)

const mainEnv = "SCGI_TEST_MAIN"

func init() {
	if os.Getenv(mainEnv) == "" {
		return
	}
	Main(scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		_, out := fmt.Fprintln(os.Stdout, "to the log")
		_, err := fmt.Fprintln(os.Stderr, "to the log")
		child := exec.Command("/bin/sh", "-c", "kill -PIPE $$")
		_ = child.Run()
		status, _ := child.ProcessState.Sys().(syscall.WaitStatus)
		fmt.Fprint(w, errors.Is(out, syscall.EPIPE), errors.Is(err, syscall.EPIPE), status.Signal() == syscall.SIGPIPE)
	}))
	os.Exit(0)
}

func TestMainSurvivesTheReaderOfItsLog(t *testing.T) {
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
