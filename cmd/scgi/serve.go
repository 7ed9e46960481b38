package main

// serve.go owns the command that shows what a web server sends. Rule: it adds
// nothing to the Server's own default handler.

import (
	"cmp"
	"context"
	"flag"
	"os"

	"example.com/scgi"
	"example.com/scgi/app"
)

const serveHelp = `usage: scgi serve [flags] [ADDR]

Serve answers each SCGI request with its variables, one a line, in the order
they were sent: what a web server sends, before there is an app. ADDR is
127.0.0.1:4000 unless given. It is not for the public: it shows cookies and
passwords.

  -http ADDR   serve the same over HTTP too

For nginx:
  location / { include scgi_params; scgi_pass 127.0.0.1:4000; }
Without a web server:
  scgi get 127.0.0.1:4000 '/path?query'

It runs until Ctrl-C or SIGTERM, and exits with 0 then; with 1 if it can't
listen, and with 2 if the arguments are wrong.
`

type serve struct{ http string }

func (c *serve) help() string { return serveHelp }

func (c *serve) define(flags *flag.FlagSet) { flags.StringVar(&c.http, "http", "", "") }

func (c *serve) run(ctx context.Context, args []string) error {
	if len(args) > 1 {
		return misuse("one ADDR at most; got %.200q", args)
	}
	addr := cmp.Or(append(args, scgi.DefaultAddr)...)
	return app.Run(ctx, new(scgi.Server), addr, c.http, os.Stdout)
}
