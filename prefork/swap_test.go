//go:build unix

package prefork

// swap_test.go tests the replacement of serving children.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestWornChildIsReplaced(t *testing.T) {
	for _, test := range []struct {
		name string
		role role
		why  string
	}{
		{"requests", role{MaxRequests: 3}, "it has served 3 requests"},
		{"age", role{MaxAge: 200 * time.Millisecond}, "it reached its maximum age"},
		{"memory", role{MaxMemory: 1}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.role.MaxProcesses = 1
			a := run(t, test.role)
			pid := a.pid("/")
			a.pid("/")
			a.pid("/")
			want := map[string]any{"pid": pid}
			if test.why != "" {
				want["why"] = test.why
			}
			a.awaitLog(1, "child exited", want)
			if next := a.pid("/"); next == pid {
				t.Error("the child was not replaced")
			}
			a.end()
			a.checkOrder(1)
		})
	}
}

// Children that reach a bound at the same time are replaced one after the other.
func TestWornChildrenAreReplacedOneByOne(t *testing.T) {
	// Long enough for all three to serve before the first is old, even on a busy machine.
	a := run(t, role{MaxProcesses: 3, MinProcesses: 3, MaxAge: time.Second})
	a.awaitLog(6, "child exited", nil)
	a.end()
	a.checkOrder(3)
}

// checkOrder checks the log of replacements: a new child serves before an old one is asked
// to end, and the old one ends before the next one is asked. From the moment that n children
// serve, n always do.
func (a *app) checkOrder(n int) {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	serving, asked, full := 0, 0, false
	for _, r := range a.log {
		switch r["msg"] {
		case "prefork: child is serving":
			serving++
			full = full || serving == n
		case "prefork: stopping child":
			if r["why"] == "the program is stopping" {
				return
			}
			asked++
			serving--
			if full && serving < n || asked > 1 {
				a.t.Errorf("%d children serve and %d were asked to end: %v", serving, asked, r)
			}
		case "prefork: child exited":
			asked--
		}
	}
}

// A bound of zero or less stays as it is, and no bound is lowered.
func TestRaiseNeverLowersBound(t *testing.T) {
	for _, bound := range []int64{-1, 0, 1, 9} {
		if got := raise(bound); got != bound {
			t.Errorf("%d became %d", bound, got)
		}
	}
	for range 1000 {
		if got := raise(int64(1000)); got < 1000 || got >= 1100 {
			t.Fatalf("1000 became %d", got)
		}
	}
}

// A child that gets a signal asks its parent, which first starts another child.
func TestSignaledChildIsReplacedFirst(t *testing.T) {
	a := run(t, role{MaxProcesses: 1})
	pid, answered := a.held()
	signalTo(t, pid, syscall.SIGTERM)
	a.awaitLog(1, "stopping child", map[string]any{"pid": pid})
	a.release(pid)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	a.awaitLog(1, "child exited", map[string]any{"pid": pid})
	a.pid("/")
	a.end()
	a.checkOrder(1)
}

// pkill -HUP also reaches children, which ignore the signal.
func TestChildSurvivesHUP(t *testing.T) {
	a := run(t, role{MaxProcesses: 1})
	pid := a.pid("/")
	signalTo(t, pid, syscall.SIGHUP)
	if next := a.pid("/"); next != pid {
		t.Error("the child was replaced")
	}
	a.end()
}

// linked makes a link to the test binary, and starts r through the link.
func linked(t *testing.T, r role) (a *app, link string) {
	t.Helper()
	link = filepath.Join(tempDir(t), "app")
	relink(t, link, os.Args[0])
	a = launch(t, r, func(cmd *exec.Cmd) { cmd.Path, cmd.Args[0] = link, link })
	a.open()
	return a, link
}

// relink atomically points link to path.
func relink(t *testing.T, link, path string) {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
}

// otherVersion returns a copy of the test binary.
func otherVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(tempDir(t), "other")
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// versionOf returns the file that process pid runs.
func versionOf(t *testing.T, pid int) os.FileInfo {
	t.Helper()
	info, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		t.Skip(err)
	}
	return info
}

// SIGHUP replaces the children one after the other with children of the new program. The
// parent stays.
func TestReload(t *testing.T) {
	a, link := linked(t, role{MaxProcesses: 3, MinProcesses: 3})
	a.awaitLog(3, "child is serving", nil)
	held, answered := a.held()
	old := a.children()
	other := otherVersion(t)
	relink(t, link, other)
	a.signal(syscall.SIGHUP)
	a.awaitLog(1, "reloaded", map[string]any{"serving": 3})
	a.awaitLog(2, "child exited", nil)
	want, err := os.Stat(other)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range a.children() {
		if pid == held {
			continue
		}
		if got := versionOf(t, pid); !os.SameFile(got, want) {
			t.Errorf("process %d runs %v", pid, got.Name())
		}
	}
	a.release(held)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	for _, pid := range old {
		awaitGone(t, pid)
	}
	a.end()
}

// A parent started by nohup, or by a shell's "&", still reloads and shuts down.
func TestReloadUnderNohup(t *testing.T) {
	a := launch(t, role{MaxProcesses: 1}, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `trap "" HUP INT; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	})
	a.open()
	pid := a.pid("/")
	a.signal(syscall.SIGHUP)
	a.awaitLog(1, "child exited", map[string]any{"pid": pid})
	a.signal(syscall.SIGINT)
	if err := a.wait(); err != nil {
		t.Error(err)
	}
}

// A new program that does not come up changes nothing. The old children go on, and the old
// program replaces one that dies.
func TestReloadOfBrokenProgram(t *testing.T) {
	a, link := linked(t, role{MaxProcesses: 1})
	pid := a.pid("/")
	old := versionOf(t, pid)
	broken := filepath.Join(tempDir(t), "broken")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\nexit 9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{broken, broken + ".missing"} {
		relink(t, link, program)
		a.signal(syscall.SIGHUP)
		a.awaitLog(1, "reload failed; keeping the old program", map[string]any{"serving": 1})
		if next := a.pid("/"); next != pid {
			t.Errorf("process %d replaced %d", next, pid)
		}
	}
	signalTo(t, pid, syscall.SIGKILL)
	pid = a.pid("/")
	if got := versionOf(t, pid); !os.SameFile(got, old) {
		t.Errorf("the replacement runs %v", got.Name())
	}
	relink(t, link, os.Args[0])
	a.signal(syscall.SIGHUP)
	a.awaitLog(1, "child exited", map[string]any{"pid": pid})
	a.pid("/")
	a.end()
}

// A reload repairs a program that can't come up.
func TestReloadRepairsProgram(t *testing.T) {
	t.Parallel()
	fail := filepath.Join(tempDir(t), "fail")
	a, _ := linked(t, role{MaxProcesses: 1, Fail: fail})
	makeFile(t, fail)
	signalTo(t, a.pid("/"), syscall.SIGKILL)
	a.awaitLog(1, "child failed to start; retrying", map[string]any{"failures": 5})
	_ = os.Remove(fail)
	began := time.Now()
	a.signal(syscall.SIGHUP)
	a.pid("/")
	if took := time.Since(began); took > time.Second {
		t.Errorf("the retry pause did not end: %v", took)
	}
	a.end()
}

// main may change its folder. Children start in the folder in which this process was
// started, by the same path.
func TestChildrenStartInFirstFolder(t *testing.T) {
	link := filepath.Join(tempDir(t), "app")
	relink(t, link, os.Args[0])
	if err := os.Mkdir(filepath.Join(filepath.Dir(link), "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	a := launch(t, role{MaxProcesses: 1, Chdir: "data", Addr: "unix:s"}, func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args[0], cmd.Dir = link, "./app", filepath.Dir(link)
	})
	a.open()
	path := filepath.Join(filepath.Dir(link), "data", "s")
	if a.addr != "unix:"+path {
		t.Errorf("serving %s, want %s", a.addr, path)
	}
	pid := a.pid("/")
	a.signal(syscall.SIGHUP)
	a.awaitLog(1, "child exited", map[string]any{"pid": pid})
	a.pid("/")
	a.end()
	if exists(path) {
		t.Error("the socket's file is left")
	}
}

// A new version can't change the program's addresses.
func TestReloadWithOtherAddress(t *testing.T) {
	moved := filepath.Join(tempDir(t), "moved")
	a, _ := linked(t, role{MaxProcesses: 1, Moved: moved})
	pid := a.pid("/")
	makeFile(t, moved)
	a.signal(syscall.SIGHUP)
	a.awaitLog(1, "reload failed; keeping the old program", nil)
	a.awaitNoise(errAddresses.Error())
	if next := a.pid("/"); next != pid {
		t.Error("the child was replaced")
	}
	_ = os.Remove(moved)
	a.end()
}
