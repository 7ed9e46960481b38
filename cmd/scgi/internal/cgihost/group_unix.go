//go:build unix

package cgihost

// group_unix.go owns process groups. Rule: a program leads one of its own, so
// that what it starts can be ended with it.

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
