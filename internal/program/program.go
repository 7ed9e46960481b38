// Package program is the command line of a prefork.Program: the flags that set its fields,
// the addresses it prints once it serves, and its exit status. Package app and the command
// scgi share it.
package program

// program.go defines the flags, output and exit status that these programs share. Flags
// that only one program has stay in that program.

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"example.com/scgi"
	"example.com/scgi/prefork"
)

var (
	errMinimum = errors.New("-min-processes is greater than -processes")
	errAlone   = errors.New("-min-processes and -max-requests, -max-memory and -max-age are for child processes: -processes says how many")
)

// Define defines the flags of p and of its Server, which must not be nil. It leaves out
// -scgi, since a program may take the address as an argument instead. The values in p are
// the defaults.
func Define(flags *flag.FlagSet, p *prefork.Program) {
	flags.StringVar(&p.HTTPAddr, "http", p.HTTPAddr, "serve the same over HTTP on `address`; empty for none")
	flags.StringVar(&p.StatusAddr, "status", p.StatusAddr, "show what all processes do on `address`, as -scgi takes it; empty for nowhere")
	flags.IntVar(&p.Server.MaxWorkers, "workers", cmp.Or(p.Server.MaxWorkers, scgi.DefaultMaxWorkers), "answer `n` requests at the same time, in each process; negative for no limit")
	flags.DurationVar(&p.Server.RequestTimeout, "timeout", p.Server.RequestTimeout, "give up a request after `time`, and its worker; 0 for no limit")

	flags.IntVar(&p.MaxProcesses, "processes", p.MaxProcesses, "serve in `n` child processes at most; 0 to serve in this one, negative for no limit")
	flags.IntVar(&p.MinProcesses, "min-processes", cmp.Or(p.MinProcesses, 1), "keep `n` child processes at least")
	flags.Int64Var(&p.MaxRequests, "max-requests", p.MaxRequests, "replace a child process that has answered `n` requests; 0 for never")
	flags.Var((*size)(&p.MaxMemory), "max-memory", "replace a child process that has `size` in memory, such as 256M; 0 for never")
	flags.DurationVar(&p.MaxAge, "max-age", p.MaxAge, "replace a child process after `time`, such as 24h; 0 for never")

	flags.StringVar(&p.User, "user", p.User, "become user `name` before serving")
	flags.StringVar(&p.Group, "group", p.Group, "become group `name`, in place of the user's own")
	flags.StringVar(&p.Chroot, "chroot", p.Chroot, "make `folder` the root folder before serving")
}

// Check returns an error if flags contradict each other. Run finds all other errors.
func Check(p *prefork.Program) error {
	switch {
	case p.MaxProcesses > 0 && p.MinProcesses > p.MaxProcesses:
		return fmt.Errorf("%w: %d and %d", errMinimum, p.MinProcesses, p.MaxProcesses)
	case p.MaxProcesses == 0 && (p.MinProcesses > 1 || p.MaxRequests != 0 || p.MaxMemory != 0 || p.MaxAge != 0):
		return errAlone
	}
	return nil
}

// size is a number of bytes, with an optional unit of KiB, MiB or GiB.
type size int64

func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

func (s *size) Set(text string) error {
	number, unit := text, 0
	if i := strings.IndexAny(text, "KMG"); i >= 0 && i == len(text)-1 {
		number, unit = text[:i], 10*(1+strings.IndexByte("KMG", text[i]))
	}
	n, err := strconv.ParseInt(number, 10, 64-1-30)
	*s = size(n << unit)
	return err
}

// Announce returns an OnReady function that prints the addresses with their real ports.
func Announce(w io.Writer) func(addr, httpAddr string) {
	return func(addr, httpAddr string) {
		fmt.Fprintln(w, "SCGI on", addr)
		if httpAddr != "" {
			fmt.Fprintf(w, "http://%s/\n", httpAddr)
		}
	}
}

// Status returns the exit status for err: that of a child process that failed to start, as
// a shell would report it, or 1.
func Status(err error) int {
	var child *exec.ExitError
	if !errors.As(err, &child) {
		return 1
	}
	if ws, ok := child.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return child.ExitCode()
}
