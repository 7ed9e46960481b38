//go:build unix

package main

// scgi_test.go runs the command as its user does: a process with arguments,
// standard input and output, and an exit status. No process outlives its test.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/internal/webserver"
)

const patience = 30 * time.Second

// binary is the path of the built command.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scgi")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "scgi")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// result is the outcome of a command that has ended.
type result struct {
	stdout, stderr string
	status         int
}

func run1(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return runAs(t, nil, stdin, args...)
}

func runAs(t *testing.T, who *syscall.Credential, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// process is a running command that serves.
type process struct {
	cmd    *exec.Cmd
	addr   string // where it serves SCGI
	url    string // where it serves HTTP
	stderr lockedBuffer
	ended  chan error
}

// start starts a command and returns when it has printed its addresses.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), ended: make(chan error, 1)}
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(t, syscall.SIGKILL) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "SCGI on "); ok {
			p.addr = addr
			if !strings.Contains(strings.Join(args, " "), "-http") {
				break
			}
			continue
		}
		p.url = lines.Text()
		break
	}
	if p.addr == "" && p.url == "" {
		_ = p.cmd.Wait()
		t.Fatalf("%q has ended: %s", args, p.stderr.String())
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p
}

// stop sends a signal and waits for the end.
func (p *process) stop(t *testing.T, signal os.Signal) {
	t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Signal(signal)
	select {
	case err := <-p.ended:
		if err != nil && signal != syscall.SIGKILL {
			t.Errorf("%v: %v\n%s", p.cmd, err, p.stderr.String())
		}
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
		t.Errorf("%v did not end on %v\n%s", p.cmd, signal, p.stderr.String())
	}
}

func TestHelpFitsScreen(t *testing.T) {
	for name, height := range map[string]int{"": 24, "get": 24, "host": 40, "serve": 40, "gateway": 24} {
		r := run1(t, "", strings.Fields("help "+name)...)
		lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
		if r.status != 0 || r.stderr != "" || len(lines) < 5 || len(lines) > height {
			t.Errorf("help %s: status %d, %d lines, %q", name, r.status, len(lines), r.stderr)
		}
		for _, line := range lines {
			if len(line) > 80 {
				t.Errorf("help %s: %d columns: %s", name, len(line), line)
			}
		}
		if name == "" {
			continue
		}
		if again := run1(t, "", name, "-h"); again != r {
			t.Errorf("%s -h differs from help %s", name, name)
		}
		flags := flag.NewFlagSet(name, flag.ContinueOnError)
		newCommand(name).define(flags)
		flags.VisitAll(func(f *flag.Flag) {
			if !strings.Contains(r.stdout, "\n  -"+f.Name+" ") {
				t.Errorf("help %s lacks -%s", name, f.Name)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	if r := run1(t, "", "version"); r.status != 0 || !strings.HasPrefix(r.stdout, "scgi ") || len(r.stdout) < 8 {
		t.Errorf("got %+v", r)
	}
}

// Wrong arguments lead to one line on standard error and status 2, and nothing
// else.
func TestMisuse(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"nonsense"},
		{"help", "nonsense"},
		{"get"},
		{"get", "-nonsense", "127.0.0.1:1"},
		{"get", "127.0.0.1:1", "/", "/"},
		{"get", "127.0.0.1"},
		{"get", "127.0.0.1:1", "path"},
		{"get", "127.0.0.1:1", "-H", "field"},
		{"get", "127.0.0.1:1", "-H", "a_b: c"},
		{"get", "127.0.0.1:1", "-H", "a: b\nc"},
		{"get", "127.0.0.1:1", "-e", "NAME"},
		{"get", "127.0.0.1:1", "-e", "CONTENT_LENGTH=1"},
		{"get", "127.0.0.1:"},
		{"get", "127.0.0.1:99999"},
		{"get", "unix:"},
		{"get", "fd:0"},
		{"get", "-raw", binary, "fd:0"},
		{"serve", "127.0.0.1:0", "127.0.0.1:0"},
		{"gateway"},
		{"gateway", "127.0.0.1:1", "127.0.0.1:1"},
		{"gateway", "-http", "127.0.0.1:0", "127.0.0.1"},
		{"gateway", "-http", "127.0.0.1:0", "systemd:a"},
		{"host"},
		{"host", script}, // not executable
		{"host", script + "/no/such"},
		{"host", "-e", "=x", "/bin/true"},
		{"host", "-e", "NO_SUCH_VARIABLE", "/bin/true"},
		{"host", "-timeout", "never", "/bin/true"},
		{"host", "-processes", "2", "-min-processes", "3", "/bin/true"},
		{"host", "-processes", "2", "-queue", "3", "/bin/true"},
		{"host", "-max-memory", "1G", "/bin/true"},
		{"host", "-user", "nobody", "-chroot", script, "/bin/true"},
		{"serve", "-processes", "2", "-min-processes", "3"},
	} {
		r := run1(t, "", args...)
		if r.status != 2 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%q: got %+v, want status 2 and one line", args, r)
		}
	}
	if r := run1(t, ""); r.status != 2 || r.stderr != help {
		t.Errorf("without arguments: got %+v", r)
	}
}

func TestServingFails(t *testing.T) {
	taken := start(t, "serve", "127.0.0.1:0")
	for _, args := range [][]string{
		{"serve", taken.addr},
		{"serve", ":4000"},
		{"serve", "-processes", "2", taken.addr},
		{"serve", "-status", taken.addr, "127.0.0.1:0"},
		{"serve", "-user", "no such user", "127.0.0.1:0"},
		{"serve", "-user", "nobody", "-chroot", binary, "127.0.0.1:0"},
		{"host", "-scgi", taken.addr, "/bin/true"},
		{"gateway", "-http", taken.addr, taken.addr},
	} {
		r := run1(t, "", args...)
		if r.status != 1 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%q: got %+v, want status 1 and one line", args, r)
		}
	}
}

func TestServe(t *testing.T) {
	addr := "unix:" + filepath.Join(t.TempDir(), "s")
	p := start(t, "serve", addr, "-http", "127.0.0.1:0")
	if r := run1(t, "", "get", addr, "/a?b"); !strings.Contains(r.stdout, "REQUEST_URI: \"/a?b\"\n") {
		t.Errorf("over SCGI: got %+v", r)
	}
	if got := fetch(t, p.url+"a?b"); !strings.Contains(got, "REQUEST_URI: \"/a?b\"\n") {
		t.Errorf("over HTTP: got %q", got)
	}
	p.stop(t, syscall.SIGTERM)
}

func TestGateway(t *testing.T) {
	back := start(t, "serve", "127.0.0.1:0")
	p := start(t, "gateway", "-http", "127.0.0.1:0", back.addr)
	if got := fetch(t, p.url+"a?b"); !strings.Contains(got, "REQUEST_URI: \"/a?b\"\n") {
		t.Errorf("got %q", got)
	}
	p.stop(t, os.Interrupt)
}

// The manual page passes mandoc's lint and documents every flag.
func TestManual(t *testing.T) {
	mandoc := webserver.NeedProgram(t, "mandoc", "mandoc")
	if out, err := exec.Command(mandoc, "-Tlint", "-Wwarning", "scgi.1").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	text, err := os.ReadFile("scgi.1")
	if err != nil {
		t.Fatal(err)
	}
	subsection := func(title string) string {
		_, section, _ := strings.Cut(string(text), "\n.Ss "+title+"\n")
		section, _, _ = strings.Cut(section, "\n.Ss ")
		section, _, _ = strings.Cut(section, "\n.Sh ")
		return section
	}
	for _, name := range []string{"get", "host", "serve", "gateway"} {
		section := subsection("scgi " + name)
		if strings.Contains(section, "\n.Sx Processes\n") {
			section += subsection("Processes")
		}
		flags := flag.NewFlagSet(name, flag.ContinueOnError)
		newCommand(name).define(flags)
		flags.VisitAll(func(f *flag.Flag) {
			if !strings.Contains(section, "\n.It Fl "+f.Name) {
				t.Errorf("%s lacks -%s", name, f.Name)
			}
		})
	}
}
