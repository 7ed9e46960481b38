//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package listen

// system_bsd.go wraps the system calls for which the BSDs differ from Linux.

import (
	"io/fs"
	"os"
	"syscall"
)

// dup2 makes to a copy of from.
func dup2(from, to int) error { return syscall.Dup2(from, to) }

// setBirthMode does nothing: on the BSDs only chmod can set the mode.
func setBirthMode(int, fs.FileMode) {}

// chmodIn changes the mode of a file that is not a symbolic link.
func chmodIn(dir *os.Root, name string, mode fs.FileMode) error { return dir.Chmod(name, mode) }
