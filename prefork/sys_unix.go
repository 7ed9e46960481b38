//go:build unix

package prefork

// sys_unix.go wraps system calls that every unix has.

import (
	"os"
	"os/signal"
	"syscall"
)

func closeOnExec(fd int) { syscall.CloseOnExec(fd) }

func closeFD(fd int) { _ = syscall.Close(fd) }

// nonblocking makes a file with deadlines of a pipe's end.
func nonblocking(fd int, name string) (*os.File, error) {
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// readFD blocks its thread until there is something to read.
func readFD(fd int, b []byte) (n int) {
	for {
		n, err := syscall.Read(fd, b)
		if err != syscall.EINTR {
			return n
		}
	}
}

// parentSignals are the signals that a parent handles. It handles them even if it
// was started to ignore them, as by nohup: a reload outlives the hang-up, and a
// supervisor's SIGHUP is not lost.
func parentSignals() (signals <-chan os.Signal, stop func()) {
	return notify(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
}

// endSignals are the signals that end a process without children.
func endSignals() (signals <-chan os.Signal, stop func()) {
	return notify(syscall.SIGTERM, syscall.SIGINT)
}

func notify(sigs ...os.Signal) (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 4)
	signal.Notify(c, sigs...)
	return c, func() { signal.Stop(c) }
}

// disregard catches signals that mean nothing here. It does not ignore them,
// because programs that a handler starts would inherit that.
func disregard(sigs ...os.Signal) (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, sigs...)
	return func() { signal.Stop(c) }
}

// survive lets the process outlive the readers of its log.
func survive() (stop func()) { return disregard(syscall.SIGPIPE) }

// surviveReload is for children, which pkill -HUP reaches too.
func surviveReload() (stop func()) { return disregard(syscall.SIGHUP) }

func isReload(sig os.Signal) bool { return sig == syscall.SIGHUP }

// quit makes this process write its stacks and exit.
func quit() { _ = syscall.Kill(os.Getpid(), syscall.SIGQUIT) }

// quitProcess makes another process do so. It does not continue a stopped one,
// which would accept connections before it exits.
func quitProcess(p *os.Process) { _ = p.Signal(syscall.SIGQUIT) }

func isKilled(end *os.ProcessState) bool {
	status, ok := end.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
