package prefork

// orphans_linux.go owns what process 1 of a container inherits: the processes
// whose parents have ended. Rule: nobody's exit status is taken from whoever
// waits for it. A process that is dead for a second and was not waited for has
// nobody who does.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"unsafe"
)

// reapOrphans is called once a second.
func (p *parent) reapOrphans() {
	if os.Getpid() != 1 {
		return
	}
	var dead map[int]bool
	if hasDead() {
		dead = deadChildren(1)
	}
	for _, c := range p.children {
		delete(dead, c.Pid)
	}
	for pid := range dead {
		if p.orphans[pid] {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
	p.orphans = dead
}

// hasDead reports whether any child is dead, and leaves it as it is.
func hasDead() bool {
	const all = 0 // P_ALL
	var info [128]byte
	_, _, err := syscall.Syscall6(syscall.SYS_WAITID, all, 0, uintptr(unsafe.Pointer(&info)),
		syscall.WEXITED|syscall.WNOHANG|syscall.WNOWAIT, 0, 0)
	return err == 0 && info != [128]byte{}
}

// deadChildren are the zombies whose parent is process parent.
func deadChildren(parent int) map[int]bool {
	dead := make(map[int]bool)
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		// pid (name) state ppid; the name may have anything in it
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) > 1 && string(fields[0]) == "Z" && string(fields[1]) == fmt.Sprint(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				dead[pid] = true
			}
		}
	}
	return dead
}
