package main

// serve.go shows what a web server sends, with the Server's default handler. It
// also defines the help that serve and host share.

import (
	"cmp"
	"context"
	"flag"
	"os"

	"example.com/scgi"
	"example.com/scgi/internal/program"
	"example.com/scgi/prefork"
)

const serveHelp = `usage: scgi serve [flags] [ADDR]

Serve answers each SCGI request with its variables, one per line, in the order
they were sent, so you see what a web server sends before there is an app. The
default ADDR is 127.0.0.1:4000. Keep it private: it shows cookies and
passwords.

For nginx:
  location / { include scgi_params; scgi_pass 127.0.0.1:4000; }
Without a web server:
  scgi get 127.0.0.1:4000 '/path?query'

  -workers N         answer N requests at a time, in each process (256)
  -timeout TIME      give up on a request that takes longer
` + programHelp + servingHelp

// programHelp describes the flags of package program that mean the same in every
// command.
const programHelp = `  -http ADDR         also serve over HTTP on ADDR
  -status ADDR       serve a status page for all processes on ADDR, over HTTP
  -processes N       serve in up to N child processes, which are replaced when
                     they die and on SIGHUP; 0 to serve in this process (0)
  -min-processes N   keep at least N children (1)
  -max-requests N    replace a child that has answered N requests
  -max-memory SIZE   replace a child that uses SIZE of memory, such as 256M
  -max-age TIME      replace a child that is older, such as 24h
  -user NAME         switch to this user before serving; needs root
  -group NAME        switch to this group instead of the user's own
  -chroot FOLDER     make FOLDER the root before serving; needs -user
`

const servingHelp = `
It runs until Ctrl-C or SIGTERM and then exits with 0. It exits with 1 if it
can't serve, and with 2 if the arguments are wrong.
`

type serve struct{ prefork.Program }

func (c *serve) help() string { return serveHelp }

func (c *serve) define(flags *flag.FlagSet) {
	c.Server = new(scgi.Server)
	program.Define(flags, &c.Program)
}

func (c *serve) run(args []string) error {
	if len(args) > 1 {
		return misuse("want at most one ADDR; got %.200q", args)
	}
	c.Addr = cmp.Or(append(args, scgi.DefaultAddr)...)
	return serveProgram(&c.Program)
}

// serveProgram serves until a signal tells the program to end.
func serveProgram(p *prefork.Program) error {
	if err := program.Check(p); err != nil {
		return misuse("%w", err)
	}
	p.OnReady = program.Announce(os.Stdout)
	return p.Run(context.Background())
}
