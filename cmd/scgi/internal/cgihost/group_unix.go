//go:build unix

package cgihost

// group_unix.go makes each program the leader of its own process group, so that
// killing the group also kills the processes that the program started.

import (
	"os"
	"syscall"
)

func groupAttr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(attr)
	return attr
}

func signalGroup(leader *os.Process, signal syscall.Signal) {
	_ = syscall.Kill(-leader.Pid, signal)
}
