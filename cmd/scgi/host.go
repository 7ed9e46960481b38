//go:build unix

package main

// host.go owns the command that serves CGI programs. Rule: what a program is
// given and how it ends is cgihost's; here are the flags and their limits.

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"example.com/scgi"
	"example.com/scgi/cmd/scgi/internal/cgihost"
	"example.com/scgi/internal/program"
	"example.com/scgi/prefork"
)

const hostHelp = `usage: scgi host [flags] PROGRAM [ARG ...]
       scgi host [flags] FOLDER

Host serves a CGI program of any language, or a folder of them, of which each
request names one by SCRIPT_FILENAME, or else by PATH_INFO. A program is killed
with its process group when its client has gone or its time is over.

  -scgi ADDR         serve SCGI here, instead of on 127.0.0.1:4000
  -e NAME=VALUE      give programs a variable; -e NAME gives them the host's own
  -pass NAME,...     let them have these variables of the web server's too
  -workers N         run N programs at the same time, in each process (32)
  -queue N           let N requests wait; more get a 503 (256)
  -wait TIME         let them wait so long, then a 503 (10s)
  -timeout TIME      kill a program that runs longer (15m)
` + programHelp + `
With -processes requests wait in the socket, without -queue and -wait. With
-chroot PROGRAM or FOLDER is its absolute path in there.

A program gets CGI's variables, HTTP_*, SSL_* and REDIRECT_*, the host's PATH,
and no others: not PATH, HOME or LD_PRELOAD from a web server. What it writes
to standard error is logged with the request. Of numbers, zero is the default
and negative no limit.
` + servingHelp

// Programs cost more than goroutines: a process each, and git's can take 100 MB.
const (
	defaultWorkers = 32
	defaultQueue   = 256
	defaultWait    = 10 * time.Second
	defaultTimeout = 15 * time.Minute // IIS's for CGI
)

type host struct {
	prefork.Program
	env, pass list
}

func (c *host) help() string { return hostHelp }

func (c *host) define(flags *flag.FlagSet) {
	c.Server = &scgi.Server{
		MaxWorkers:     defaultWorkers,
		RequestTimeout: defaultTimeout,
		MaxBodyBytes:   -1, // it is not kept here, and the web server has a limit
	}
	flags.StringVar(&c.Addr, "scgi", scgi.DefaultAddr, "")
	flags.IntVar(&c.Server.MaxQueue, "queue", 0, "")
	flags.DurationVar(&c.Server.QueueTimeout, "wait", 0, "")
	flags.Var(&c.env, "e", "")
	flags.Var(&c.pass, "pass", "")
	program.Define(flags, &c.Program)
}

func (c *host) run(args []string) error {
	if err := c.complete(); err != nil {
		return err
	}
	h, err := c.newHost(args)
	if err != nil {
		return err
	}
	c.Server.Handler = h
	err = serveProgram(&c.Program)
	_ = h.Close()
	return err
}

// complete checks the flags, and sets the defaults that differ from the Server's.
func (c *host) complete() error {
	srv := c.Server
	if c.MaxProcesses != 0 && (srv.MaxQueue != 0 || srv.QueueTimeout != 0) {
		return misuse("-queue and -wait are for one process: with -processes, requests wait in the socket")
	}
	srv.MaxWorkers = cmp.Or(srv.MaxWorkers, defaultWorkers)
	srv.MaxQueue = cmp.Or(srv.MaxQueue, defaultQueue)
	srv.QueueTimeout = cmp.Or(srv.QueueTimeout, defaultWait)
	return nil
}

// newHost returns the handler. It ends programs by itself, so that the Server has
// none to give up.
func (c *host) newHost(args []string) (*cgihost.Host, error) {
	if len(args) == 0 {
		return nil, misuse("a PROGRAM or a FOLDER is needed; see scgi help host")
	}
	path, err := locate(args[0], c.Chroot)
	if err != nil {
		return nil, misuse("%w", err)
	}
	h := &cgihost.Host{Path: path, Args: args[1:], Timeout: cmp.Or(c.Server.RequestTimeout, defaultTimeout)}
	c.Server.RequestTimeout = 0
	for _, names := range c.pass {
		h.Pass = append(h.Pass, strings.Split(names, ",")...)
	}
	for _, e := range c.env {
		variable, err := ownVariable(e)
		if err != nil {
			return nil, err
		}
		h.Env = append(h.Env, variable)
	}
	return h, nil
}

// locate returns the absolute path of a program, as a shell finds it, or of a
// folder, which needs a slash as a program that is not in PATH does: the folder
// git must not hide the program git.
func locate(name, chroot string) (string, error) {
	if chroot != "" {
		return locateIn(chroot, name)
	}
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

// locateIn is locate for a folder that is to become the root folder. A link may
// lead where os.Root does not follow it, and is followed once the folder is the
// root folder.
func locateIn(chroot, name string) (string, error) {
	if !filepath.IsAbs(name) {
		return "", fmt.Errorf("with -chroot, PROGRAM and FOLDER are absolute paths in it, such as /bin/program; got %.200q", name)
	}
	root, err := os.OpenRoot(chroot)
	if err != nil {
		return "", err
	}
	defer root.Close()
	path := filepath.Clean(name)
	info, err := root.Stat(cmp.Or(path[1:], "."))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s is not in %s", path, chroot)
	case err == nil && !info.IsDir() && info.Mode()&0o111 == 0:
		return "", fmt.Errorf("%s in %s: %w", path, chroot, fs.ErrPermission)
	}
	return path, nil
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
