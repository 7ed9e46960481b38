//go:build unix && !linux

package cgihost

import "syscall"

// dieWithParent does nothing. A program whose host was killed ends when it next
// uses its standard input or output.
func dieWithParent(*syscall.SysProcAttr) {}
