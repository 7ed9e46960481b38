// Scgi sends requests to SCGI servers, serves CGI programs over SCGI, and shows
// what passes between a web server and an app:
//
//	scgi get [flags] ADDR [PATH]         request a page from an SCGI server
//	scgi host [flags] PROGRAM [ARG ...]  serve a CGI program, or a folder of them
//	scgi serve [flags] [ADDR]            answer with the request's variables
//	scgi gateway [flags] ADDR            serve an SCGI app over HTTP
//
// "scgi help", "scgi help get" and scgi(1) describe the flags.
package main

// main.go chooses the command and the exit status. A command that fails prints
// one line on standard error that says what to do, and its exit status says why.

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
  scgi get [flags] ADDR [PATH]         request a page from an SCGI server
  scgi host [flags] PROGRAM [ARG ...]  serve a CGI program, or a folder of them
  scgi serve [flags] [ADDR]            answer with the request's variables
  scgi gateway [flags] ADDR            serve an SCGI app over HTTP
  scgi help get|host|serve|gateway     describe the flags
  scgi version                         print the version

ADDR is 127.0.0.1:4000, [::1]:4000 or unix:/run/app.sock. host and serve also
take unix:/run/app.sock?mode=0660&group=www-data, and inherited sockets: fd:0
(lighttpd, spawn-fcgi) and systemd:NAME.

See what a web server sends, what an app answers, and the app in a browser:
  scgi serve 127.0.0.1:4000
  scgi get -i 127.0.0.1:4000 '/path?query'
  scgi gateway 127.0.0.1:4000

A git server behind nginx, lighttpd or Apache:
  scgi host -e GIT_PROJECT_ROOT=/srv/git git http-backend
`

// A command is a subcommand, such as get. Its run method receives the arguments
// that are not flags.
type command interface {
	define(*flag.FlagSet)
	help() string
	run(args []string) error
}

// newCommand returns the command with the given name, or nil if there is none.
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

// statusError is an error with its own exit status. Other errors get theirs from
// program.Status.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// misuse returns an error for wrong arguments, with exit status 2.
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

// parse returns the arguments that are not flags. If mixed is true, flags may
// also follow them.
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

// stamp is the version, set by make dist.
var stamp string

// version returns stamp, or else the module's version from the build info.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && stamp == "" {
		return info.Main.Version
	}
	return stamp
}

// checkAddr reports a malformed server address before anything is dialed.
func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	switch scheme, path, _ := strings.Cut(addr, ":"); {
	case scheme == "unix" && path != "":
		return nil
	case scheme == "fd" || scheme == "systemd":
		return misuse("%q is an address to serve on, not the address of a server", addr)
	case err != nil || port == "":
		return misuse("%.200q is not the address of a server, which is host:port or unix:/path", addr)
	}
	return nil
}

// list collects the values of a flag that may be repeated.
type list []string

func (l *list) String() string { return fmt.Sprint(slices.Clone(*l)) }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}
