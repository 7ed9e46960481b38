//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package listen

// dup_bsd.go owns the call for which the BSDs differ from Linux.

import "syscall"

// dup2 makes to a copy of from.
func dup2(from, to int) error { return syscall.Dup2(from, to) }
