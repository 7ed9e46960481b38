//go:build unix && !linux

package cgihost

import "syscall"

// dieWithParent does nothing: a program whose host was killed ends when it uses
// its standard input or output.
func dieWithParent(*syscall.SysProcAttr) {}
