package prefork

// orphans_linux.go owns the processes whose parents have ended: what a dead child
// has left behind, and what process 1 of a container inherits. Rule: nobody's exit status is taken from whoever
// waits for it. A process that is dead for a second and was not waited for has
// nobody who does.

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
	eachProcess(func(pid int, state byte, ppid, _, _ int) {
		if state == 'Z' && ppid == parent {
			dead[pid] = true
		}
	})
	return dead
}

// killLeft kills what a child that died has left behind: every process group of
// its session. A program that a handler has started may lead a group of its own.
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
		// pid (name) state ppid pgrp session; the name may have anything in it
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 4 {
			continue // it has ended meanwhile
		}
		ppid, _ := strconv.Atoi(fields[1])
		group, _ := strconv.Atoi(fields[2])
		session, _ := strconv.Atoi(fields[3])
		f(pid, fields[0][0], ppid, group, session)
	}
}
