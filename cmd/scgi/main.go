// Scgi asks SCGI servers, serves CGI programs over SCGI, and shows what passes
// between a web server and an app:
//
//	scgi get [flags] ADDR [PATH]         ask an SCGI server
//	scgi host [flags] PROGRAM [ARG ...]  serve a CGI program, or a folder of them
//	scgi serve [flags] [ADDR]            answer with the request's variables
//	scgi gateway [flags] ADDR            show an SCGI server to a browser
//
// "scgi help" and "scgi help get" say the rest, and so does scgi(1).
package main

// main.go owns the choice of a command and how the program ends. Rule: a command
// that can't do what it was asked ends with one line on standard error, which
// says what to do, and with a status that says why.

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"example.com/scgi/internal/program"
)

const help = `usage:
  scgi get [flags] ADDR [PATH]         ask an SCGI server, as curl asks HTTP's
  scgi host [flags] PROGRAM [ARG ...]  serve a CGI program, or a folder of them
  scgi serve [flags] [ADDR]            answer with the request's variables
  scgi gateway [flags] ADDR            show an SCGI server to a browser
  scgi help get|host|serve|gateway     their flags
  scgi version

ADDR is 127.0.0.1:4000, [::1]:4000 or unix:/run/app.sock. Commands that serve
also take unix:/run/app.sock?mode=0660&group=www-data, and the sockets of a
parent: fd:0 (lighttpd, spawn-fcgi) and systemd:NAME.

What does my web server send? What does my app answer? In a browser?
  scgi serve 127.0.0.1:4000
  scgi get -i 127.0.0.1:4000 '/path?query'
  scgi gateway 127.0.0.1:4000

A git server behind nginx, lighttpd or Apache:
  scgi host -e GIT_PROJECT_ROOT=/srv/git git http-backend
`

// A command is one of the program's. Its run gets the arguments that are no
// flags.
type command interface {
	define(*flag.FlagSet)
	help() string
	run(args []string) error
}

// newCommand returns the command called name, or nil.
func newCommand(name string) command {
	switch name {
	case "get":
		return new(get)
	case "host":
		return new(host)
	case "serve":
		return new(serve)
	case "gateway":
		return new(front)
	}
	return nil
}

// statusError is an error with the status that the program ends with; that of
// others is program.Status.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// misuse is an error in the arguments.
func misuse(format string, args ...any) error {
	return &statusError{2, fmt.Errorf(format, args...)}
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, help)
		os.Exit(2)
	}
	name := os.Args[1]
	err := run(name, os.Args[2:])
	if err == nil {
		return
	}
	if newCommand(name) != nil {
		name = "scgi " + name
	} else {
		name = "scgi"
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	e := &statusError{status: program.Status(err)}
	errors.As(err, &e)
	os.Exit(e.status)
}

func run(name string, args []string) error {
	switch name {
	case "help", "-h", "-help", "--help":
		return printHelp(os.Stdout, args)
	case "version", "-version", "--version":
		fmt.Println("scgi", version())
		return nil
	}
	c := newCommand(name)
	if c == nil {
		return misuse("there is no command %q; see scgi help", name)
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	c.define(flags)
	args, err := parse(flags, args, name != "host")
	switch {
	case errors.Is(err, flag.ErrHelp):
		return printHelp(os.Stdout, []string{name})
	case err != nil:
		return misuse("%w; see scgi help %s", err, name)
	}
	return c.run(args)
}

// parse returns the arguments that are no flags. If mixed, flags may come after
// those too.
func parse(flags *flag.FlagSet, args []string, mixed bool) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if !mixed || flags.NArg() == 0 {
			return append(rest, flags.Args()...), nil
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
}

func printHelp(w io.Writer, args []string) error {
	text := help
	if len(args) > 0 {
		c := newCommand(args[0])
		if c == nil {
			return misuse("there is no command %q; see scgi help", args[0])
		}
		text = c.help()
	}
	_, err := io.WriteString(w, text)
	return err
}

// stamp is the version that make dist sets.
var stamp string

// version is the stamp, or what Go knows of the module.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && stamp == "" {
		return info.Main.Version
	}
	return stamp
}

// checkAddr finds what is wrong with an address to ask, without asking.
func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	switch scheme, path, _ := strings.Cut(addr, ":"); {
	case scheme == "unix" && path != "":
		return nil
	case scheme == "fd" || scheme == "systemd":
		return misuse("%q is an address to serve on, not to ask", addr)
	case err != nil || port == "":
		return misuse("%.200q is no address to ask: it is host:port or unix:/path", addr)
	}
	return nil
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string { return fmt.Sprint(slices.Clone(*l)) }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}
