package cgihost

import "syscall"

// dieWithParent has the kernel kill the program if the host is killed. (To the
// kernel, the parent is the thread that started the program. Go ends a thread
// only when a goroutine locked to it returns, and the host locks none.)
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
