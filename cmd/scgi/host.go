//go:build unix

package main

// host.go owns the command that serves CGI programs. Rule: what a program is
// given and how it ends is cgihost's; here are the flags and their limits.

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"example.com/scgi"
	"example.com/scgi/app"
	"example.com/scgi/cmd/scgi/internal/cgihost"
)

const hostHelp = `usage: scgi host [flags] PROGRAM [ARG ...]
       scgi host [flags] FOLDER

Host serves a CGI program of any language, or a folder of them, of which each
request names one by SCRIPT_FILENAME. A program is killed with its process
group when its client has gone or its time is over.

  -scgi ADDR      serve SCGI here, instead of on 127.0.0.1:4000
  -http ADDR      serve the same over HTTP too
  -workers N      run N programs at the same time (32)
  -queue N        let N requests wait; more get a 503 (256)
  -wait TIME      let them wait so long, then a 503 (10s)
  -timeout TIME   kill a program that runs longer (15m)
  -e NAME=VALUE   give the program a variable; -e NAME gives it the host's own
  -pass NAME,...  let it have these variables of the web server's too

A program gets CGI's variables, HTTP_*, SSL_* and REDIRECT_*, the host's PATH,
and no others: not PATH, HOME or LD_PRELOAD from a web server. What it writes
to standard error is logged with the request. Of numbers, zero is
the default and negative no limit.

It runs until Ctrl-C or SIGTERM, and exits with 0 then; with 1 if it can't
listen, and with 2 if the arguments are wrong.
`

// Programs cost more than goroutines: a process each, and git's can take 100 MB.
const (
	defaultWorkers = 32
	defaultQueue   = 256
	defaultWait    = 10 * time.Second
	defaultTimeout = 15 * time.Minute // IIS's for CGI
)

type host struct {
	scgi, http     string
	workers, queue int
	wait, timeout  time.Duration
	env, pass      list
}

func (c *host) help() string { return hostHelp }

func (c *host) define(flags *flag.FlagSet) {
	flags.StringVar(&c.scgi, "scgi", scgi.DefaultAddr, "")
	flags.StringVar(&c.http, "http", "", "")
	flags.IntVar(&c.workers, "workers", 0, "")
	flags.IntVar(&c.queue, "queue", 0, "")
	flags.DurationVar(&c.wait, "wait", 0, "")
	flags.DurationVar(&c.timeout, "timeout", 0, "")
	flags.Var(&c.env, "e", "")
	flags.Var(&c.pass, "pass", "")
}

func (c *host) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return misuse("a PROGRAM or a FOLDER is needed; see scgi help host")
	}
	path, err := locate(args[0])
	if err != nil {
		return &statusError{2, err}
	}
	h := &cgihost.Host{Path: path, Args: args[1:], Timeout: cmp.Or(c.timeout, defaultTimeout)}
	for _, names := range c.pass {
		h.Pass = append(h.Pass, strings.Split(names, ",")...)
	}
	for _, e := range c.env {
		variable, err := ownVariable(e)
		if err != nil {
			return err
		}
		h.Env = append(h.Env, variable)
	}
	srv := &scgi.Server{
		Handler:      h,
		MaxWorkers:   cmp.Or(c.workers, defaultWorkers),
		MaxQueue:     cmp.Or(c.queue, defaultQueue),
		QueueTimeout: cmp.Or(c.wait, defaultWait),
		MaxBodyBytes: -1, // it is not kept here, and the web server has a limit
	}
	err = app.Run(ctx, srv, c.scgi, c.http, os.Stdout)
	_ = h.Close()
	return err
}

// locate returns the absolute path of a program, as a shell finds it, or of a
// folder, which needs a slash as a program that is not in PATH does: the folder
// git must not hide the program git.
func locate(name string) (string, error) {
	info, err := os.Stat(name)
	here, hasSlash := err == nil, strings.Contains(name, "/")
	if here && hasSlash && info.IsDir() {
		return filepath.Abs(name)
	}
	path, err := exec.LookPath(name)
	if err != nil && here && !hasSlash {
		err = fmt.Errorf("%w; the one in this folder is ./%s", err, name)
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// ownVariable completes a variable that is only named with the host's value.
func ownVariable(e string) (string, error) {
	name, _, ok := strings.Cut(e, "=")
	if name == "" {
		return "", misuse("-e %.200q: the variable has no name", e)
	}
	if !ok {
		value, found := os.LookupEnv(name)
		if !found {
			return "", misuse("-e %s: there is no such variable here; to set one, write -e %[1]s=VALUE", name)
		}
		e += "=" + value
	}
	return e, nil
}
