package prefork

// sys_linux.go is what only Linux offers to parents and children.

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// hasFDPaths says that /proc/self/fd/N opens the very file that N refers to.
const hasFDPaths = true

// childAttr starts a session, which the processes that a child starts leave only
// by calling setsid. See killLeft.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// dieWithParent asks again for the parent-death signal of childAttr: giving up
// root has cleared it.
func dieWithParent() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
}

// setProcessName gives a process that was started by a file descriptor the
// program's name, for ps and pkill.
func setProcessName(path string) {
	var name [16]byte
	copy(name[:15], filepath.Base(path))
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0)
}

// oomHandicap is added to a child's oom_score_adj: a tenth of the memory.
const oomHandicap = 100

// preferToParent makes the kernel kill this child before its parent when memory
// is short.
func preferToParent() {
	const path = "/proc/self/oom_score_adj"
	text, _ := os.ReadFile(path)
	if score, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		_ = os.WriteFile(path, fmt.Append(nil, min(score+oomHandicap, 1000)), 0)
	}
}

// oomKills returns how many processes of this cgroup the kernel has killed for
// lack of memory.
func oomKills() (n int64) {
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path
		switch {
		case len(fields) < 3:
		case fields[1] == "": // cgroup v2
			n = max(n, oomCount("/sys/fs/cgroup", fields[2], "memory.events"))
		case fields[1] == "memory":
			n = max(n, oomCount("/sys/fs/cgroup/memory", fields[2], "memory.oom_control"))
		}
	}
	return n
}

// oomCount reads the line "oom_kill N". In a container the mounted root may be
// the cgroup itself.
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

// monotonicUsec returns the clock of systemd's MONOTONIC_USEC.
func monotonicUsec() int64 {
	const clockMonotonic = 1
	var now syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano() / 1000
}
