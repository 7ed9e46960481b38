// Package app is the main program around an SCGI handler: flags, addresses, an
// HTTP front end to try it in a browser, and a graceful shutdown. A whole program
// is
//
//	func main() { app.Main(scgi.HandlerFunc(answer)) }
//
// It uses only what package scgi and package gateway offer to every program.
package app

// app.go owns the course of a program. Rule: it serves and prints nothing before
// every address is open (systemd's are open already), and ends only when
// everything that it started has ended.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"example.com/scgi"
	"example.com/scgi/gateway"
)

// DefaultHTTPAddr is the address of the HTTP front end if no flag sets another.
const DefaultHTTPAddr = "127.0.0.1:8080"

// shutdownTimeout is how long running requests have when the program is to end.
const shutdownTimeout = 10 * time.Second

// Main serves h, as the program's arguments say, until Ctrl-C or SIGTERM, and
// then returns; a second Ctrl-C ends the program at once. A nil h answers with
// the request's variables. Main exits with status 1 and one line on standard
// error if it can't listen on an address, and with 2 if the arguments are wrong.
//
// The arguments are
//
//	-scgi ADDR     where to serve SCGI, in the grammar of scgi.Listen (127.0.0.1:4000)
//	-http ADDR     where to serve the same over HTTP, to try it; empty for nowhere (127.0.0.1:8080)
//	-workers N     how many requests to answer at the same time (256)
//	PORT           short for -scgi 127.0.0.1:PORT
//
// An inherited socket (fd: and systemd:) gets no HTTP front end unless -http is
// given, because a web server or a service manager started the program. A program may define flags of its own before it calls Main.
//
// If the reader of standard output or error goes away, writes there fail with
// EPIPE and the program goes on. Programs that it starts still get SIGPIPE.
func Main(h scgi.Handler) {
	// A child process inherits an ignored signal, but not a caught one.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	var a arguments
	a.define(flag.CommandLine)
	flag.Parse()
	if err := a.complete(flag.CommandLine); err != nil {
		exit(2, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal is the system's to handle
	srv := &scgi.Server{Handler: h, MaxWorkers: a.workers}
	if err := Run(ctx, srv, a.scgi, a.http, os.Stdout); err != nil {
		exit(1, err)
	}
}

func exit(status int, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
	os.Exit(status)
}

type arguments struct {
	scgi, http string
	workers    int
}

func (a *arguments) define(flags *flag.FlagSet) {
	flags.StringVar(&a.scgi, "scgi", scgi.DefaultAddr, "serve SCGI on `address`: host:port, unix:/path, fd:0 or systemd:name")
	flags.StringVar(&a.http, "http", DefaultHTTPAddr, "serve the same over HTTP on `address`; empty for none")
	flags.IntVar(&a.workers, "workers", scgi.DefaultMaxWorkers, "answer `n` requests at the same time; negative for no limit")
}

// complete sets what depends on the arguments after the flags, and on the flags
// that were given.
func (a *arguments) complete(flags *flag.FlagSet) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case flags.NArg() > 1:
		return fmt.Errorf("one argument at most, the SCGI port; got %.200q", flags.Args())
	case flags.NArg() == 1 && given["scgi"]:
		return errors.New("either -scgi or a port, not both")
	case flags.NArg() == 1:
		a.scgi = net.JoinHostPort("127.0.0.1", flags.Arg(0))
	}
	if !given["http"] && isInherited(a.scgi) {
		a.http = ""
	}
	return nil
}

func isInherited(addr string) bool {
	return strings.HasPrefix(addr, "fd:") || isSystemd(addr)
}

func isSystemd(addr string) bool { return strings.HasPrefix(addr, "systemd:") }

// Run serves srv on scgiAddr and, unless httpAddr is empty, the same over HTTP
// on httpAddr, until ctx is cancelled. Once both addresses are open it prints
// them to stdout, with the real port in place of 0.
//
// When ctx is cancelled Run shuts down the HTTP front end, then srv, and returns
// nil. Requests that have not finished after 10 s are cut, with a warning on
// slog.Default. An error is the reason why an address could not be opened, or
// could no longer be served.
func Run(ctx context.Context, srv *scgi.Server, scgiAddr, httpAddr string, stdout io.Writer) error {
	back, err := backEnd(srv, scgiAddr, httpAddr == "")
	if err != nil {
		return err
	}
	parts := []part{back}
	if httpAddr != "" {
		front, err := frontEnd(httpAddr, back.listener.Addr())
		if err != nil {
			_ = back.listener.Close()
			return err
		}
		parts = []part{front, back}
	}
	fmt.Fprintln(stdout, "SCGI on", back.name)
	if httpAddr != "" {
		fmt.Fprintf(stdout, "http://%s/\n", parts[0].name)
	}
	return serve(ctx, parts)
}

// serve runs the parts until ctx is cancelled or one of them ends.
func serve(ctx context.Context, parts []part) (err error) {
	ended := make(chan error, len(parts))
	for _, p := range parts {
		go func() { ended <- p.serve() }()
	}
	running := len(parts)
	select {
	case <-ctx.Done():
	case err = <-ended:
		running--
	}
	stop(parts, shutdownTimeout)
	for range running {
		<-ended
	}
	if errors.Is(err, scgi.ErrServerClosed) { // by the caller, who has srv
		return nil
	}
	return err
}

// stop shuts the parts down in their order, and closes those that take longer
// than timeout.
func stop(parts []part, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for _, p := range parts {
		if p.shutdown(ctx) != nil {
			slog.Warn("requests were cut: they took too long to finish", "server", p.name)
			_ = p.close()
		}
	}
}

// part is an SCGI or an HTTP server.
type part struct {
	name     string
	listener net.Listener // nil: serve opens its own
	serve    func() error
	shutdown func(context.Context) error
	close    func() error
}

// backEnd is srv on addr, which may name several sockets if srv is alone.
func backEnd(srv *scgi.Server, addr string, alone bool) (part, error) {
	p := part{name: addr, shutdown: srv.Shutdown, close: srv.Close}
	if alone && isSystemd(addr) {
		p.serve = func() error { return srv.ListenAndServe(addr) }
		return p, nil
	}
	l, err := scgi.Listen(addr)
	if err != nil {
		return part{}, err
	}
	p.name, p.listener = l.Addr().String(), l
	if l.Addr().Network() == "unix" {
		p.name = "unix:" + p.name
	}
	p.serve = func() error { return srv.Serve(l) }
	return p, nil
}

// frontEnd serves HTTP on addr, from the SCGI server at back.
func frontEnd(addr string, back net.Addr) (part, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return part{}, err
	}
	srv := &http.Server{
		Handler:           gateway.New(dialable(back)),
		ReadHeaderTimeout: scgi.DefaultReadHeaderTimeout,
	}
	return part{
		name:     dialable(l.Addr()),
		listener: l,
		serve:    func() error { return srv.Serve(l) },
		shutdown: srv.Shutdown,
		close:    srv.Close,
	}, nil
}

// dialable returns the address, in the grammar of scgi.Listen, at which this host
// reaches a listener.
func dialable(a net.Addr) string {
	switch a := a.(type) {
	case *net.UnixAddr:
		return "unix:" + a.Name
	case *net.TCPAddr:
		if a.IP.IsUnspecified() {
			loopback := net.IPv6loopback
			if a.IP.To4() != nil {
				loopback = net.IPv4(127, 0, 0, 1)
			}
			return (&net.TCPAddr{IP: loopback, Port: a.Port}).String()
		}
	}
	return a.String()
}
