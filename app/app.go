// Package app is the main program around an SCGI handler: flags, addresses, an
// HTTP front end to try it in a browser, child processes, and a graceful shutdown.
// A whole program is
//
//	func main() { app.Main(scgi.HandlerFunc(answer)) }
//
// It uses only what packages scgi, gateway and prefork offer to every program.
package app

// app.go runs the program. A fault in the arguments or the addresses is one line on
// standard error, before anything is served.

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"example.com/scgi"
	"example.com/scgi/internal/program"
)

// DefaultHTTPAddr is the address of the HTTP front end if no flag sets another.
const DefaultHTTPAddr = "127.0.0.1:8080"

// Main serves h, as the program's arguments say, until Ctrl-C or SIGTERM, and
// then returns; a second Ctrl-C cuts requests in flight. A nil h answers with the
// request's variables. Main exits with status 1 and one line on standard error if
// it can't serve, and with 2 if the arguments are wrong. If none of its first
// child processes comes up, it exits with the status of one of them.
//
// The arguments are
//
//	-scgi ADDR     serve SCGI on ADDR; scgi.Listen gives the syntax (127.0.0.1:4000)
//	-http ADDR     also serve over HTTP on ADDR, for testing; "" for none (127.0.0.1:8080)
//	-status ADDR   serve a status page on ADDR; see prefork.Program's StatusAddr (none)
//	-workers N     answer N requests at a time, in each process (256)
//	-timeout TIME  limit the time of a request; see scgi.Server's RequestTimeout (no limit)
//	PORT           short for -scgi 127.0.0.1:PORT
//
// for child processes, which are replaced when they end for any reason and on SIGHUP,
//
//	-processes N      serve in up to N children; 0 to serve in this process (0)
//	-min-processes N  keep at least N children (1)
//	-max-requests N   replace a child that has answered N requests (no limit)
//	-max-memory SIZE  replace a child that uses SIZE of memory, such as 256M (no limit)
//	-max-age TIME     replace a child that is older, such as 24h (no limit)
//
// and to contain the processes that serve, which needs root,
//
//	-user NAME     switch to this user
//	-group NAME    switch to this group instead of the user's own
//	-chroot DIR    make DIR the root
//
// See package prefork for both groups. With an inherited socket (fd: or systemd:)
// or with -chroot, there is no HTTP front end unless -http is given, because a web
// server or service manager is expected. A program may define its own flags before
// it calls Main.
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
	if err := a.run(context.Background(), os.Stdout); err != nil {
		exit(program.Status(err), err)
	}
}

// run serves until ctx is cancelled or a signal tells the process to end. Once
// all addresses are open it prints them to stdout.
func (a *arguments) run(ctx context.Context, stdout io.Writer) error {
	a.OnReady = program.Announce(stdout)
	return a.Run(ctx)
}

func exit(status int, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
	os.Exit(status)
}
