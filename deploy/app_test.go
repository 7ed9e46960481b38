//go:build linux

// Package deploy_test tests the recipes in this folder.
package deploy_test

// app_test.go builds and runs the program of the recipes: a real process from a
// static binary. The process does not outlive its test.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/gateway"
)

// patience bounds every wait in these tests.
const patience = 30 * time.Second

// seen is what the app reports about itself.
type seen struct {
	Pid    int
	Parent int
	UID    int
	GID    int
	Groups []int
	Root   []string
	Env    []string
}

var built struct {
	once sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	status := m.Run()
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(status)
}

// buildApp builds the app once for all tests.
func buildApp(t *testing.T) (path string) {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "scgi")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "app")
		cmd := exec.Command("go", "build", "-o", built.path, "./testdata/app")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// process is a running program.
type process struct {
	cmd   *exec.Cmd
	addr  string      // the address it printed
	lines chan string // the lines it printed after that
	ended chan struct{}
	err   error // from Wait, set before ended is closed
}

// startApp starts cmd, which runs the app, and returns when it serves.
func startApp(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, lines: make(chan string, 16), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		defer close(p.lines)
		for out := bufio.NewScanner(stdout); out.Scan(); {
			p.lines <- out.Text()
		}
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() { _ = p.end(t, syscall.SIGKILL) })
	p.addr = strings.TrimPrefix(p.next(t), "SCGI on ")
	return p
}

// next returns the next line that the process prints. The channel has room for all
// the lines of a test.
func (p *process) next(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		if ok {
			return line
		}
		t.Fatalf("%q has ended", p.cmd.Args)
	case <-time.After(patience):
		t.Fatalf("%q prints nothing", p.cmd.Args)
	}
	return ""
}

// end sends a signal and waits for the process to end.
func (p *process) end(t *testing.T, signal os.Signal) error {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
		t.Errorf("%q did not end on %v", p.cmd.Args, signal)
	}
	return p.err
}

// askSocket sends the app a request on a unix socket, without a web server.
func askSocket(path string) (seen, error) {
	client := &http.Client{Transport: &gateway.Transport{Addr: "unix:" + path}, Timeout: patience}
	return ask(client, http.MethodGet, "http://deploy.test/")
}

// statusError is a status other than 200.
type statusError int

func (e statusError) Error() string { return http.StatusText(int(e)) }

func ask(client *http.Client, method, url string) (s seen, err error) {
	body := ""
	if method == http.MethodPost {
		body = strings.Repeat("x", 2000)
	}
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return s, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return s, err
	}
	if resp.StatusCode != http.StatusOK {
		return s, statusError(resp.StatusCode)
	}
	return s, json.Unmarshal(text, &s)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
