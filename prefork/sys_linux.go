package prefork

// sys_linux.go owns what Linux does for parents and children beyond other
// systems.

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// hasFDPaths says that /proc/self/fd leads to a file as it was opened.
const hasFDPaths = true

// childAttr begins a session, which no process that the child starts leaves
// unless it means to. See killLeft.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// dieWithParent asks for the signal that childAttr asks for, too: giving up root
// has taken it back.
func dieWithParent() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
}

// setProcessName gives a process that was started by a file descriptor the name
// that ps and pkill know the program by.
func setProcessName(path string) {
	var name [16]byte
	copy(name[:15], filepath.Base(path))
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0)
}

// oomHandicap is added to a child's oom_score_adj: a tenth of the memory.
const oomHandicap = 100

// preferToParent lets the kernel, when memory is short, kill this child before
// its parent.
func preferToParent() {
	const path = "/proc/self/oom_score_adj"
	text, _ := os.ReadFile(path)
	if score, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		_ = os.WriteFile(path, fmt.Append(nil, min(score+oomHandicap, 1000)), 0)
	}
}

// oomKills is how many processes of this cgroup the kernel has killed for lack
// of memory.
func oomKills() (n int64) {
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path
		switch {
		case len(fields) < 3:
		case fields[1] == "": // version 2
			n = max(n, oomCount("/sys/fs/cgroup", fields[2], "memory.events"))
		case fields[1] == "memory":
			n = max(n, oomCount("/sys/fs/cgroup/memory", fields[2], "memory.oom_control"))
		}
	}
	return n
}

// oomCount reads the line "oom_kill N". In a container the root of what is
// mounted may be the cgroup itself.
func oomCount(mount, group, file string) int64 {
	text, err := os.ReadFile(filepath.Join(mount, group, file))
	if err != nil {
		text, _ = os.ReadFile(filepath.Join(mount, file))
	}
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(count), 10, 64)
			return n
		}
	}
	return 0
}

// monotonicUsec is the clock of systemd's MONOTONIC_USEC.
func monotonicUsec() int64 {
	const clockMonotonic = 1
	var now syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano() / 1000
}
