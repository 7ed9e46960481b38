//go:build linux && !386 && !s390x

package socket

import "syscall"

const (
	sysAccept4 = syscall.SYS_ACCEPT4
	sysConnect = syscall.SYS_CONNECT
)
