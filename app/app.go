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
