package listen

// dup_linux.go owns the call for which Linux differs from the BSDs.

import "syscall"

// dup2 makes to a copy of from. Not every Linux has dup2(2); all have dup3(2).
func dup2(from, to int) error { return syscall.Dup3(from, to, 0) }
