package prefork

// orphans_linux_test.go tests a parent that is process 1.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// asInit makes cmd process 1 of a new PID namespace.
func asInit(t *testing.T) func(*exec.Cmd) {
	needRoot(t)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command(unshare, "-pf", "--mount-proc", "true").CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, out)
	}
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{unshare, "-pf", "--kill-child", "--mount-proc", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = unshare
	}
}

// childOf finds a process called name that is a child of process parent.
func childOf(parent int, name string) (pid int, state string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		_, after, _ := strings.Cut(string(text), " ("+name+") ")
		var ppid int
		if n, _ := fmt.Sscan(after, &state, &ppid); n == 2 && ppid == parent {
			_, _ = fmt.Sscan(filepath.Base(filepath.Dir(path)), &pid)
			return pid, state
		}
	}
	return 0, ""
}

// As process 1 the parent reaps orphans, does not steal the exit status of a program that
// it starts, and shuts down in order.
func TestParentAsProcessOne(t *testing.T) {
	t.Parallel()
	name := filepath.Base(os.Args[0])
	a := launch(t, role{MaxProcesses: 1, Execs: 100}, asInit(t))
	a.open()
	init, _ := childOf(a.cmd.Process.Pid, name[:min(len(name), 15)])
	if _, err := a.get("/orphan"); err != nil || init == 0 {
		t.Fatal(init, err)
	}
	poll(t, "a dead orphan", func() bool {
		_, state := childOf(init, "sleep")
		return state == "Z"
	})
	poll(t, "the orphan to be reaped", func() bool {
		pid, _ := childOf(init, "sleep")
		return pid == 0
	})
	a.awaitOut("execs")
	signalTo(t, init, syscall.SIGTERM)
	if err := a.wait(); err != nil {
		t.Error(err)
	}
}
