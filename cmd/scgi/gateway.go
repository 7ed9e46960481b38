package main

// gateway.go owns the command that shows an SCGI server to a browser. Rule: it
// is gateway.New behind an http.Server, and nothing more.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/scgi"
	"example.com/scgi/app"
	"example.com/scgi/gateway"
)

const frontHelp = `usage: scgi gateway [flags] ADDR

Gateway serves HTTP and passes each request on to the SCGI server at ADDR: an
app in a browser, without a web server. WebSocket and event streams work.

  -http ADDR   serve HTTP here, instead of on 127.0.0.1:8080

It passes the request on as it came, but for the fields Forwarded and
X-Forwarded-*, and says nothing in REMOTE_USER or HTTPS. It is for development
and for hosts that have no web server.

A server that can't be reached, or breaks its reply, is a 502, one that is too
slow a 504; standard error says why.
` + servingHelp

// stopTime is what requests under way have when the command is to end.
const stopTime = 10 * time.Second

type front struct{ http string }

func (c *front) help() string { return frontHelp }

func (c *front) define(flags *flag.FlagSet) {
	flags.StringVar(&c.http, "http", app.DefaultHTTPAddr, "")
}

func (c *front) run(args []string) error {
	if len(args) != 1 {
		return misuse("the address of one SCGI server is needed; see scgi help gateway")
	}
	if err := checkAddr(args[0]); err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.http)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal is the system's to handle
	srv := &http.Server{Handler: gateway.New(args[0]), ReadHeaderTimeout: scgi.DefaultReadHeaderTimeout}
	fmt.Printf("http://%s/\n", l.Addr())
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(stopped)
		last, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if srv.Shutdown(last) != nil {
			_ = srv.Close()
		}
	})
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	return nil
}
