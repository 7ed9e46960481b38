package listen

// system_linux.go wraps the system calls for which Linux differs from the BSDs.

import (
	"io/fs"
	"os"
	"syscall"
)

// dup2 makes to a copy of from. Not every Linux has dup2(2); all have dup3(2).
func dup2(from, to int) error { return syscall.Dup3(from, to, 0) }

// setBirthMode sets the mode that bind(2) gives the file, less the umask.
func setBirthMode(fd int, mode fs.FileMode) { _ = syscall.Fchmod(fd, uint32(mode.Perm())) }

// chmodIn changes the mode of a file that is not a symbolic link.
func chmodIn(dir *os.Root, name string, mode fs.FileMode) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("fchmodat", syscall.Fchmodat(int(f.Fd()), name, uint32(mode.Perm()), 0))
}
