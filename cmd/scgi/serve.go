package main

// serve.go owns the command that shows what a web server sends, and the flags of
// all that serve SCGI. Rule: it adds nothing to the Server's own default handler.

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

Serve answers each SCGI request with its variables, one a line, in the order
they were sent: what a web server sends, before there is an app. ADDR is
127.0.0.1:4000 unless given. It is not for the public: it shows cookies and
passwords.

For nginx:
  location / { include scgi_params; scgi_pass 127.0.0.1:4000; }
Without a web server:
  scgi get 127.0.0.1:4000 '/path?query'

  -workers N         answer N requests at the same time, in each process (256)
  -timeout TIME      give up a request that takes longer
` + programHelp + servingHelp

// programHelp is for flags of package program whose meaning is the same in all
// commands.
const programHelp = `  -http ADDR         serve the same over HTTP too
  -status ADDR       show here, over HTTP, what all processes do
  -processes N       serve in up to N child processes, which are replaced if
                     they die, and by SIGHUP; 0 to serve in this process (0)
  -min-processes N   keep N of them at least (1)
  -max-requests N    replace one that has answered N requests
  -max-memory SIZE   replace one that has SIZE in memory, such as 256M
  -max-age TIME      replace one that is older, such as 24h
  -user NAME         become this user before serving, which takes root
  -group NAME        become this group, in place of the user's own
  -chroot FOLDER     make this the root folder before serving; needs -user
`

const servingHelp = `
It runs until Ctrl-C or SIGTERM, and exits with 0 then; with 1 if it can't
serve, and with 2 if the arguments are wrong.
`

type serve struct{ prefork.Program }

func (c *serve) help() string { return serveHelp }

func (c *serve) define(flags *flag.FlagSet) {
	c.Server = new(scgi.Server)
	program.Define(flags, &c.Program)
}

func (c *serve) run(args []string) error {
	if len(args) > 1 {
		return misuse("one ADDR at most; got %.200q", args)
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
