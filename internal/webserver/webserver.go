// Package webserver starts nginx, lighttpd or Apache in front of an SCGI
// server, for tests.
package webserver

// webserver.go runs the process: it starts on a free port and ends with its test. Without
// the web server the test is skipped, or fails if SCGI_INTEROP=1 is set (program.go).

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startTime = 20 * time.Second // until a server answers, even on a busy machine
	stopTime  = 10 * time.Second // until it ends after SIGTERM
	startPoll = 3 * time.Millisecond
	tries     = 5 // another process may take the port before the server binds it
)

// Start starts a web server of this kind, configured by c, and returns the address on which
// it serves HTTP. The server ends with the test; if the test fails, its log gets the
// server's.
func Start(t testing.TB, kind Kind, c Config) (addr string) {
	t.Helper()
	kind.find(t)
	dir := TempDir(t)
	t.Cleanup(func() { showLog(t, dir) })
	for try := 1; ; try++ {
		addr = FreeAddr(t)
		conf := kind.writeConfig(t, dir, addr, c)
		err := start(t, kind, dir, conf, addr)
		if err == nil {
			return addr
		}
		t.Logf("%s did not start: %v", kind, err)
		if try == tries {
			t.FailNow()
		}
	}
}

// TempDir is t.TempDir with a path that is short enough for a unix socket, and open to the
// user that a web server started by root runs as.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "scgi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// FreeAddr returns an address on which nobody listens at the moment.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return l.Addr().String()
}

func start(t testing.TB, kind Kind, dir, conf, addr string) error {
	t.Helper()
	output, err := os.Create(filepath.Join(dir, "output.log"))
	if err != nil {
		return err
	}
	defer output.Close() // the process has its own descriptor
	cmd := kind.command(t, setups[kind].args(dir, conf)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	ready := func() bool {
		return kind.owns(dir, cmd.Process.Pid) && strings.HasPrefix(serverName(addr), setups[kind].answersAs)
	}
	if err := awaitReady(ready, ended); err != nil {
		stop(t, cmd, ended)
		return err
	}
	t.Cleanup(func() { stop(t, cmd, ended) })
	return nil
}

// owns reports whether the process has written its pid file. Each kind does that after it
// has bound its port, so a process of another test that answers there is not mistaken for
// this one.
func (k Kind) owns(dir string, pid int) bool {
	text, _ := os.ReadFile(filepath.Join(dir, string(k)+".pid"))
	return strings.TrimSpace(string(text)) == strconv.Itoa(pid)
}

func awaitReady(ready func() bool, ended <-chan struct{}) error {
	deadline := time.NewTimer(startTime)
	defer deadline.Stop()
	poll := time.NewTicker(startPoll)
	defer poll.Stop()
	for {
		select {
		case <-ended:
			return errors.New("the process has ended")
		case <-deadline.C:
			return errors.New("it did not answer in time")
		case <-poll.C:
			if ready() {
				return nil
			}
		}
	}
}

// serverName returns the name that the server at addr gives itself. Each kind answers
// "OPTIONS *" itself instead of passing it on.
func serverName(addr string) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprintf(c, "OPTIONS * HTTP/1.1\r\nHost: interop.test\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	return resp.Header.Get("Server")
}

func stop(t testing.TB, cmd *exec.Cmd, ended <-chan struct{}) {
	if cmd.Process.Signal(syscall.SIGTERM) != nil {
		_ = cmd.Process.Kill()
	}
	select {
	case <-ended:
	case <-time.After(stopTime):
		_ = cmd.Process.Kill()
		<-ended
		t.Errorf("%s did not end on SIGTERM", cmd.Path)
	}
}

// showLog adds the web server's logs to that of a failed test.
func showLog(t testing.TB, dir string) {
	if !t.Failed() {
		return
	}
	for _, name := range []string{"output.log", "error.log"} {
		text, _ := os.ReadFile(filepath.Join(dir, name))
		text = text[max(0, len(text)-4096):]
		if len(text) > 0 {
			t.Logf("%s:\n%s", name, text)
		}
	}
}
