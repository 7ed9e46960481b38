package prefork

// oom_linux_test.go tests children that the kernel kills for lack of memory.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// limitMemory returns a function that makes a command run in a control group with this
// memory limit.
func limitMemory(t *testing.T, limit int64) (func(*exec.Cmd), error) {
	dir, err := makeMemoryGroup(limit)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		poll(t, "the control group's end", func() bool { return os.Remove(dir) == nil })
	})
	return func(cmd *exec.Cmd) {
		join := fmt.Sprintf(`echo $$ > %s/cgroup.procs; exec "$@"`, dir)
		cmd.Args = append([]string{"sh", "-c", join, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}, nil
}

var groups atomic.Int32

func makeMemoryGroup(limit int64) (dir string, err error) {
	name := fmt.Sprintf("prefork-test-%d-%d", os.Getpid(), groups.Add(1))
	files := []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}
	dir = filepath.Join("/sys/fs/cgroup/memory", name)
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err != nil { // version 2
		dir, files = filepath.Join("/sys/fs/cgroup", name), []string{"memory.max", "memory.swap.max"}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, files[0]), fmt.Append(nil, limit), 0); err != nil {
		_ = os.Remove(dir)
		return "", err
	}
	_ = os.WriteFile(filepath.Join(dir, files[1]), fmt.Append(nil, limit), 0) // exists only where swap is counted
	return dir, nil
}

// The kernel kills the child that uses too much memory, not the parent, and the log says so.
func TestMemoryHogIsReplaced(t *testing.T) {
	limited, err := limitMemory(t, 96<<20)
	if err != nil {
		t.Skip(err)
	}
	a := launch(t, role{MaxProcesses: 2, MinProcesses: 2}, limited)
	a.open()
	for i := range 3 {
		if _, err := a.get("/hog"); err == nil {
			t.Error("the request was answered")
		}
		a.awaitLog(i+1, "child died", map[string]any{"cause": "signal: killed, possibly out of memory"})
		a.pid("/")
	}
	a.end()
}

// When memory runs out, the kernel prefers to kill a child rather than its parent.
func TestKernelPrefersToKillChild(t *testing.T) {
	a := run(t, role{MaxProcesses: 1})
	parent, child := score(t, a.cmd.Process.Pid), score(t, a.pid("/"))
	if child != min(parent+oomHandicap, 1000) {
		t.Errorf("the parent's score is %d, the child's %d", parent, child)
	}
	a.end()
}

func score(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil {
		t.Skip(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOOMCount(t *testing.T) {
	mount := t.TempDir()
	group := filepath.Join(mount, "a", "b")
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "low 1\noom 2\noom_kill 34\noom_group_kill 5\n"
	if err := os.WriteFile(filepath.Join(group, "memory.events"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[[2]string]int64{
		{mount, "/a/b"}:       34,
		{group, "/elsewhere"}: 34, // the root of a container's own hierarchy
		{mount, "/a"}:         0,
	} {
		if got := oomCount(at[0], at[1], "memory.events"); got != want {
			t.Errorf("%v: %d kills, want %d", at, got, want)
		}
	}
}
