//go:build unix && !linux

package prefork

import "syscall"

func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killLeft kills what a dead child leaves behind in its process group.
func killLeft(child int) { _ = syscall.Kill(-child, syscall.SIGKILL) }
