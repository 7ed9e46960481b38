package app

// arguments.go turns Main's arguments into a prefork.Program.

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"strings"

	"example.com/scgi"
	"example.com/scgi/internal/program"
	"example.com/scgi/prefork"
)

var (
	errArguments = errors.New("want at most one argument, the SCGI port")
	errBoth      = errors.New("want either -scgi or a port, not both")
)

// arguments is the program that the arguments describe.
type arguments struct{ prefork.Program }

func (a *arguments) define(flags *flag.FlagSet) {
	a.Server, a.HTTPAddr = new(scgi.Server), DefaultHTTPAddr
	flags.StringVar(&a.Addr, "scgi", scgi.DefaultAddr, "serve SCGI on `address`: host:port, unix:/path, fd:0 or systemd:name")
	program.Define(flags, &a.Program)
}

// complete applies the argument after the flags and the defaults that depend on
// other flags, and checks the result.
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
	if !given["http"] && (isInherited(a.Addr) || a.Chroot != "") {
		a.HTTPAddr = ""
	}
	return program.Check(&a.Program)
}

func isInherited(addr string) bool {
	return strings.HasPrefix(addr, "fd:") || strings.HasPrefix(addr, "systemd:")
}
