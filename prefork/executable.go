package prefork

// executable.go opens the program that children run. A child starts with the
// arguments and in the directory that this process started with, and all children
// run one version: the one found at the start or at the last reload.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// program is how this process was started. It is read before main, which may
// change its directory or its arguments.
var program = findProgram()

type origin struct {
	path string // absolute, and with its links unresolved: they may change later
	dir  string
	args []string
	err  error
}

func findProgram() (s origin) {
	s.args = slices.Clone(os.Args)
	if s.dir, s.err = os.Getwd(); s.err != nil {
		return s
	}
	if s.path, s.err = exec.LookPath(os.Args[0]); s.err == nil {
		s.path, s.err = filepath.Abs(s.path)
	}
	if s.err != nil { // started under another name, as login shells are
		s.path, s.err = os.Executable()
	}
	return s
}

// An executable is one version of the program.
type executable struct {
	file *os.File // nil: children start it by its path
}

// openExecutable opens the current version of the program.
func openExecutable() (*executable, error) {
	if program.err != nil {
		return nil, fmt.Errorf("the program's path: %w", program.err)
	}
	info, err := os.Stat(program.path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return nil, fmt.Errorf("%s: %w", program.path, os.ErrPermission)
	}
	f, err := os.Open(program.path)
	if err != nil || !hasFDPaths {
		return &executable{}, nil // it can't be read but may be executable
	}
	return &executable{file: f}, nil
}

func (e *executable) close() {
	if e.file != nil {
		_ = e.file.Close()
	}
}

// environ returns a child's environment. It leaves out systemd's variables, which
// are for the parent.
func environ(legacy string) []string {
	own := []string{variable, "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(own, name)
	})
	return append(env, variable+"="+legacy)
}
