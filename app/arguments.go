package app

// arguments.go owns the flags of Main.

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"strconv"
	"strings"

	"example.com/scgi"
	"example.com/scgi/prefork"
)

var (
	errArguments = errors.New("one argument at most, the SCGI port")
	errBoth      = errors.New("either -scgi or a port, not both")
	errMinimum   = errors.New("-min-processes is greater than -processes")
)

// arguments are the program that they describe.
type arguments struct{ prefork.Program }

func (a *arguments) define(flags *flag.FlagSet) {
	a.Server = new(scgi.Server)
	flags.StringVar(&a.Addr, "scgi", scgi.DefaultAddr, "serve SCGI on `address`: host:port, unix:/path, fd:0 or systemd:name")
	flags.StringVar(&a.HTTPAddr, "http", DefaultHTTPAddr, "serve the same over HTTP on `address`; empty for none")
	flags.StringVar(&a.StatusAddr, "status", "", "show what all processes do on `address`, as -scgi takes it; empty for nowhere")
	flags.IntVar(&a.Server.MaxWorkers, "workers", scgi.DefaultMaxWorkers, "answer `n` requests at the same time, in each process; negative for no limit")
	flags.DurationVar(&a.Server.RequestTimeout, "timeout", 0, "give up a request after `time`, and its worker; 0 for no limit")

	flags.IntVar(&a.MaxProcesses, "processes", 0, "serve in `n` child processes at most; 0 to serve in this one, negative for no limit")
	flags.IntVar(&a.MinProcesses, "min-processes", 1, "keep `n` child processes at least")
	flags.Int64Var(&a.MaxRequests, "max-requests", 0, "replace a child process that has answered `n` requests; 0 for never")
	flags.Func("max-memory", "replace a child process that has `size` in memory, such as 256M", a.setMaxMemory)
	flags.DurationVar(&a.MaxAge, "max-age", 0, "replace a child process after `time`, such as 24h; 0 for never")

	flags.StringVar(&a.User, "user", "", "become user `name` before serving")
	flags.StringVar(&a.Group, "group", "", "become group `name`, in place of the user's own")
	flags.StringVar(&a.Chroot, "chroot", "", "make `folder` the root folder before serving")
}

// setMaxMemory reads a number of bytes, or of KiB, MiB or GiB.
func (a *arguments) setMaxMemory(text string) (err error) {
	number, unit := text, 0
	if i := strings.IndexAny(text, "KMG"); i >= 0 && i == len(text)-1 {
		number, unit = text[:i], 10*(1+strings.IndexByte("KMG", text[i]))
	}
	n, err := strconv.ParseInt(number, 10, 64-1-30)
	a.MaxMemory = n << unit
	return err
}

// complete sets what depends on the arguments after the flags, and on the flags
// that were given.
func (a *arguments) complete(flags *flag.FlagSet) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case flags.NArg() > 1:
		return fmt.Errorf("%w; got %.200q", errArguments, flags.Args())
	case flags.NArg() == 1 && given["scgi"]:
		return errBoth
	case flags.NArg() == 1:
		a.Addr = net.JoinHostPort("127.0.0.1", flags.Arg(0))
	}
	if given["min-processes"] && a.MaxProcesses >= 0 && a.MinProcesses > a.MaxProcesses {
		return fmt.Errorf("%w: %d and %d", errMinimum, a.MinProcesses, a.MaxProcesses)
	}
	if !given["http"] && (isInherited(a.Addr) || a.Chroot != "") {
		a.HTTPAddr = ""
	}
	return nil
}

func isInherited(addr string) bool {
	return strings.HasPrefix(addr, "fd:") || strings.HasPrefix(addr, "systemd:")
}
