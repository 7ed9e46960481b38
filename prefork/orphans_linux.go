package prefork

// orphans_linux.go handles processes whose parents have exited: those that a dead
// child leaves behind, and those that process 1 of a container inherits. It must
// not take an exit status from code that waits for it, so it reaps only a process
// that has been dead for a second.

import (
	"bytes"
	"os"
	"strconv"
	"strings"
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

// hasDead reports whether any child is dead, without reaping it.
func hasDead() bool {
	const all = 0 // P_ALL
	var info [128]byte
	_, _, err := syscall.Syscall6(syscall.SYS_WAITID, all, 0, uintptr(unsafe.Pointer(&info)),
		syscall.WEXITED|syscall.WNOHANG|syscall.WNOWAIT, 0, 0)
	return err == 0 && info != [128]byte{}
}

// deadChildren returns the zombies whose parent is process parent.
func deadChildren(parent int) map[int]bool {
	dead := make(map[int]bool)
	eachProcess(func(pid int, state byte, ppid, _, _ int) {
		if state == 'Z' && ppid == parent {
			dead[pid] = true
		}
	})
	return dead
}

// killLeft kills what a dead child leaves behind: every process group of its
// session, because a program that a handler has started may lead its own group.
func killLeft(child int) {
	groups := map[int]bool{child: true}
	eachProcess(func(_ int, _ byte, _, group, session int) {
		if session == child {
			groups[group] = true
		}
	})
	for group := range groups {
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
}

func eachProcess(f func(pid int, state byte, ppid, group, session int)) {
	proc, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		text, _ := os.ReadFile("/proc/" + name + "/stat")
		// pid (name) state ppid pgrp session; name may contain any byte
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 4 {
			continue // it has exited meanwhile
		}
		ppid, _ := strconv.Atoi(fields[1])
		group, _ := strconv.Atoi(fields[2])
		session, _ := strconv.Atoi(fields[3])
		f(pid, fields[0][0], ppid, group, session)
	}
}
