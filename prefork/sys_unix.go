//go:build unix

package prefork

// sys_unix.go owns the small calls that every unix has.

import (
	"os"
	"os/signal"
	"syscall"
)

func closeOnExec(fd int) { syscall.CloseOnExec(fd) }

func closeFD(fd int) { _ = syscall.Close(fd) }

// nonblocking makes a file of a pipe's end that can have deadlines.
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

// parentSignals are those that a parent acts on. Started to ignore one, as by nohup, it
// acts on it all the same: a reload survives the hang-up, which is what nohup is for,
// and a supervisor's SIGHUP must not be lost.
func parentSignals() (signals <-chan os.Signal, stop func()) {
	return notify(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
}

// endSignals are those that tell a process without children to end.
func endSignals() (signals <-chan os.Signal, stop func()) {
	return notify(syscall.SIGTERM, syscall.SIGINT)
}

func notify(sigs ...os.Signal) (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 4)
	signal.Notify(c, sigs...)
	return c, func() { signal.Stop(c) }
}

// disregard lets signals of no meaning here pass. They are not ignored, since
// that is passed on to programs that a handler starts.
func disregard(sigs ...os.Signal) (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, sigs...)
	return func() { signal.Stop(c) }
}

// survive makes the process outlive those who read its log.
func survive() (stop func()) { return disregard(syscall.SIGPIPE) }

// surviveReload is for children: pkill -HUP reaches them as well.
func surviveReload() (stop func()) { return disregard(syscall.SIGHUP) }

func isReload(sig os.Signal) bool { return sig == syscall.SIGHUP }

// quit makes this process write its stacks and end.
func quit() { _ = syscall.Kill(os.Getpid(), syscall.SIGQUIT) }

// quitProcess makes another do so. One that is stopped stays so: going on to its
// end, it would take connections with it.
func quitProcess(p *os.Process) { _ = p.Signal(syscall.SIGQUIT) }

func isKilled(end *os.ProcessState) bool {
	status, ok := end.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
