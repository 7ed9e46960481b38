package cgihost

import "syscall"

// dieWithParent has the kernel kill the program if the host is killed. (The
// kernel means the thread that started it. Go ends a thread only if a goroutine
// that is locked to it returns, and the host has none.)
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
