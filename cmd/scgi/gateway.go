package main

// gateway.go serves an SCGI app over HTTP: gateway.New behind an http.Server, and
// nothing more.

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

Gateway serves HTTP and passes each request on to the SCGI server at ADDR, so
that a browser reaches an app without a web server. WebSocket and event streams
work.

  -http ADDR   serve HTTP on ADDR (127.0.0.1:8080)

It drops the fields Forwarded and X-Forwarded-*, passes the rest of the request
on unchanged, and sets neither REMOTE_USER nor HTTPS. It is for development and
for hosts without a web server.

If the server can't be reached or breaks off its reply, the client gets a 502;
if it is too slow, a 504. Standard error says why.
` + servingHelp

// stopTime bounds a graceful shutdown.
const stopTime = 10 * time.Second

type front struct{ http string }

func (c *front) help() string { return frontHelp }

func (c *front) define(flags *flag.FlagSet) {
	flags.StringVar(&c.http, "http", app.DefaultHTTPAddr, "")
}

func (c *front) run(args []string) error {
	if len(args) != 1 {
		return misuse("want the address of one SCGI server; see scgi help gateway")
	}
	if err := checkAddr(args[0]); err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.http)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
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
