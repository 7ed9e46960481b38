//go:build unix

package main

// processes_test.go tests host and serve in child processes, and how they end.
// Programs and tests synchronize through FIFOs.

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// makeFIFO returns the path of a new FIFO. Opening it blocks until the other side
// opens it too.
func makeFIFO(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func openFIFO(t *testing.T, path string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// awaitEnd waits until no process has the FIFO open for writing.
func awaitEnd(t *testing.T, f *os.File) {
	t.Helper()
	_ = f.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadAll(f); err != nil {
		t.Fatal(err)
	}
}

func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("still no %s", what)
		}
	}
}

func needLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills programs with their parent")
	}
}

// ask runs get against p in the background.
func (p *process) ask(t *testing.T, args ...string) <-chan result {
	t.Helper()
	answer := make(chan result, 1)
	go func() { answer <- run1(t, "", append([]string{"get", p.addr}, args...)...) }()
	return answer
}

// Programs end with the host, even if it is killed.
func TestKilledHostKillsPrograms(t *testing.T) {
	needLinux(t)
	for _, processes := range []string{"0", "1"} {
		fifo := makeFIFO(t)
		path := script(t, filepath.Join(t.TempDir(), "program"), "exec sleep 1000 3>"+fifo)
		p := start(t, "host", "-scgi", "127.0.0.1:0", "-processes", processes, path)
		answer := p.ask(t)
		held := openFIFO(t, fifo, os.O_RDONLY)
		p.stop(t, syscall.SIGKILL)
		awaitEnd(t, held)
		if r := <-answer; r.status == 0 {
			t.Errorf("-processes %s: got %+v", processes, r)
		}
	}
}

// When a child is killed, its programs and all that they started are killed too,
// and another child takes over.
func TestHostChildKilled(t *testing.T) {
	needLinux(t)
	fifo, dir := makeFIFO(t), t.TempDir()
	script(t, filepath.Join(dir, "hang"), "exec 3>"+fifo+"; echo $PPID >&3; sleep 1000; :")
	script(t, filepath.Join(dir, "well"), `printf 'A: b\n\n'; echo $PPID`)
	p := start(t, "host", "-scgi", "127.0.0.1:0", "-processes", "1", dir)
	answer := p.ask(t, "-e", "SCRIPT_FILENAME="+dir+"/hang")
	held := openFIFO(t, fifo, os.O_RDONLY)
	var child int
	if _, err := fmt.Fscan(held, &child); err != nil || child == p.cmd.Process.Pid {
		t.Fatalf("the program's parent is process %d, %v", child, err)
	}
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, held)
	if r := <-answer; r.status == 0 {
		t.Errorf("got %+v", r)
	}
	if r := run1(t, "", "get", p.addr, "-e", "SCRIPT_FILENAME="+dir+"/well"); r.status != 0 || r.stdout == fmt.Sprintln(child) {
		t.Errorf("after the death of process %d: got %+v", child, r)
	}
	p.stop(t, syscall.SIGTERM)
}

// On SIGTERM, the host lets running programs finish.
func TestHostShutsDownGracefully(t *testing.T) {
	for _, processes := range []string{"0", "2"} {
		fifo, dir := makeFIFO(t), t.TempDir()
		path := script(t, filepath.Join(dir, "program"), `read x <`+fifo+`; printf 'A: b\n\n'; echo "$x"`)
		p := start(t, "host", "-scgi", "unix:"+dir+"/s", "-processes", processes, path)
		answer := p.ask(t)
		gate := openFIFO(t, fifo, os.O_WRONLY)
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		poll(t, "end of the socket", func() bool {
			_, err := os.Lstat(dir + "/s")
			return err != nil
		})
		_, err := fmt.Fprintln(gate, "done")
		_ = gate.Close()
		if r := <-answer; err != nil || r.stdout != "done\n" {
			t.Errorf("-processes %s: %v, got %+v", processes, err, r)
		}
		if err := <-p.ended; err != nil {
			t.Errorf("-processes %s: %v", processes, err)
		}
	}
}

// The status page shows requests under way, with and without child processes.
func TestHostStatus(t *testing.T) {
	for _, processes := range []string{"0", "1"} {
		fifo, dir := makeFIFO(t), t.TempDir()
		path := script(t, filepath.Join(dir, "program"), `read x <`+fifo+`; printf 'A: b\n\n'`)
		p := start(t, "host", "-scgi", "127.0.0.1:0", "-processes", processes, "-status", "unix:"+dir+"/status", path)
		answer := p.ask(t, "/under-way")
		gate := openFIFO(t, fifo, os.O_WRONLY)
		client := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", dir+"/status")
			},
		}}
		poll(t, "request on the status page", func() bool {
			resp, err := client.Get("http://status/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			return err == nil && strings.Contains(string(text), "/under-way")
		})
		_ = gate.Close()
		if r := <-answer; r.status != 0 {
			t.Errorf("-processes %s: got %+v", processes, r)
		}
	}
}

// With -chroot, the program is looked up in the new root, and a static binary needs
// nothing else there.
func TestHostChroot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can chroot")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	root, source := t.TempDir(), filepath.Join(t.TempDir(), "main.go")
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	const text = `package main

import "os"

func main() {
	_, err := os.Stdin.Read(make([]byte, 1))
	here, _ := os.ReadDir("/")
	println(os.Getuid(), len(here))
	os.Stdout.WriteString("A: b\n\n" + err.Error())
}
`
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(root, "program"), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, processes := range []string{"0", "1"} {
		p := start(t, "host", "-scgi", "127.0.0.1:0", "-user", "nobody", "-chroot", root, "-processes", processes, "/program")
		if r := run1(t, "", "get", p.addr); r.stdout != "EOF" {
			t.Errorf("-processes %s: got %+v", processes, r)
		}
		p.stop(t, syscall.SIGTERM)
		if log := p.stderr.String(); !strings.Contains(log, strconv.Quote(nobody.Uid+" 1")) {
			t.Errorf("-processes %s: the log is %s", processes, log)
		}
	}
	for _, name := range []string{"program", "/missing", "/bin/sh"} {
		if r := run1(t, "", "host", "-user", "nobody", "-chroot", root, name); r.status != 2 || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestServeProcesses(t *testing.T) {
	p := start(t, "serve", "-processes", "2", "-workers", "1", "127.0.0.1:0")
	if r := run1(t, "", "get", p.addr, "/a"); !strings.Contains(r.stdout, "REQUEST_URI: \"/a\"\n") {
		t.Errorf("got %+v", r)
	}
	p.stop(t, syscall.SIGTERM)
}
