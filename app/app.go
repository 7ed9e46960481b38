// Package app is the main program around an SCGI handler: flags, addresses, an
// HTTP front end to try it in a browser, child processes, and a graceful shutdown.
// A whole program is
//
//	func main() { app.Main(scgi.HandlerFunc(answer)) }
//
// It uses only what packages scgi, gateway and prefork offer to every program.
package app

// app.go owns the course of a program. Rule: what is wrong with the arguments or
// the addresses is one line on standard error, before anything is served.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"example.com/scgi"
	"example.com/scgi/prefork"
)

// DefaultHTTPAddr is the address of the HTTP front end if no flag sets another.
const DefaultHTTPAddr = "127.0.0.1:8080"

// Main serves h, as the program's arguments say, until Ctrl-C or SIGTERM, and
// then returns; a second Ctrl-C cuts what is under way. A nil h answers with the
// request's variables. Main exits with status 1 and one line on standard error if
// it can't serve, and with 2 if the arguments are wrong; if none of its first
// child processes comes up, with the status of one.
//
// The arguments are
//
//	-scgi ADDR     where to serve SCGI, in the grammar of scgi.Listen (127.0.0.1:4000)
//	-http ADDR     where to serve the same over HTTP, to try it; empty for nowhere (127.0.0.1:8080)
//	-status ADDR   where to show what all processes do; see prefork.Program's StatusAddr (nowhere)
//	-workers N     how many requests each process answers at the same time (256)
//	-timeout TIME  how long a request may take; see scgi.Server's RequestTimeout (no limit)
//	PORT           short for -scgi 127.0.0.1:PORT
//
// for child processes, which are replaced whatever ends them, and by SIGHUP,
//
//	-processes N      how many there may be (0: this process serves)
//	-min-processes N  how many there are at least (1)
//	-max-requests N   replace one that has answered so many requests (never)
//	-max-memory SIZE  replace one that has so much in memory, such as 256M (never)
//	-max-age TIME     replace one that is so old, such as 24h (never)
//
// and to contain the processes that serve, which takes root
//
//	-user NAME     the user to become
//	-group NAME    the group, in place of the user's own
//	-chroot DIR    the folder that becomes the root folder
//
// Package prefork says more of both. An inherited socket (fd: and systemd:), and a
// program in -chroot, get no HTTP front end unless -http is given: a web server or
// a service manager is there. A program may define flags of its own before it
// calls Main.
//
// If the reader of standard output or error goes away, writes there fail with
// EPIPE and the program goes on. Programs that it starts still get SIGPIPE.
func Main(h scgi.Handler) {
	var a arguments
	a.define(flag.CommandLine)
	flag.Parse()
	if err := a.complete(flag.CommandLine); err != nil {
		exit(2, err)
	}
	a.Server.Handler = h
	a.OnReady = announce(os.Stdout)
	if err := a.Run(context.Background()); err != nil {
		exit(status(err), err)
	}
}

func exit(status int, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
	os.Exit(status)
}

// status is that of a child process that did not come up, as a shell would tell
// it, or 1.
func status(err error) int {
	var child *exec.ExitError
	if !errors.As(err, &child) {
		return 1
	}
	if ws, ok := child.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return child.ExitCode()
}

// announce returns a function that prints the addresses, with the real ports.
func announce(w io.Writer) func(addr, httpAddr string) {
	return func(addr, httpAddr string) {
		fmt.Fprintln(w, "SCGI on", addr)
		if httpAddr != "" {
			fmt.Fprintf(w, "http://%s/\n", httpAddr)
		}
	}
}

// Run serves srv on scgiAddr and, unless httpAddr is empty, the same over HTTP
// on httpAddr, until ctx is cancelled or a signal tells the process to end. Once
// both addresses are open it prints them to stdout, with the real port in place
// of 0. It is [prefork.Program.Run] without child processes.
func Run(ctx context.Context, srv *scgi.Server, scgiAddr, httpAddr string, stdout io.Writer) error {
	p := prefork.Program{Server: srv, Addr: scgiAddr, HTTPAddr: httpAddr, OnReady: announce(stdout)}
	return p.Run(ctx)
}
