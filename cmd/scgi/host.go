//go:build unix

package main

// host.go serves CGI programs over SCGI. It handles the flags and limits; package
// cgihost runs the programs.

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

Host serves a CGI program written in any language, or a folder of them. In a
folder, SCRIPT_FILENAME or else PATH_INFO selects the program. A program and
its process group are killed when the client disconnects or time runs out.

  -scgi ADDR         serve SCGI on ADDR (127.0.0.1:4000)
  -e NAME=VALUE      set a variable for programs; -e NAME copies the host's own
  -pass NAME,...     also pass these variables of the request
  -workers N         run N programs at a time, in each process (32)
  -queue N           let N requests wait; more get a 503 (256)
  -wait TIME         answer requests that wait longer with a 503 (10s)
  -timeout TIME      kill a program that runs longer (15m)
` + programHelp + `
With -processes, requests wait in the socket, and -queue and -wait are refused.
With -chroot, PROGRAM or FOLDER is an absolute path in the new root.

A program gets CGI's variables, HTTP_*, SSL_* and REDIRECT_*, the host's PATH,
and no others: not PATH, HOME or LD_PRELOAD from a web server. Its standard
error is logged with the request. For numbers and times, zero is the default
and negative is no limit.
` + servingHelp

// The defaults are lower than a Server's: each program is a process, and git's
// can take 100 MB.
const (
	defaultWorkers = 32
	defaultQueue   = 256
	defaultWait    = 10 * time.Second
	defaultTimeout = 15 * time.Minute // as IIS has for CGI
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
		MaxBodyBytes:   -1, // the body is streamed, and the web server has a limit
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

// complete checks the flags and sets the defaults that differ from the Server's.
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

// newHost returns the handler. It takes over the Server's RequestTimeout, because
// the Host kills programs itself.
func (c *host) newHost(args []string) (*cgihost.Host, error) {
	if len(args) == 0 {
		return nil, misuse("want a PROGRAM or a FOLDER; see scgi help host")
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

// locate returns the absolute path of a program or folder. It looks a program up
// as a shell does. The name of a folder must contain a slash, so that a folder
// git does not hide the program git.
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

// locateIn is locate for -chroot. It does not reject a link that os.Root refuses
// to follow: the link may resolve once chroot is the root.
func locateIn(chroot, name string) (string, error) {
	if !filepath.IsAbs(name) {
		return "", fmt.Errorf("with -chroot, PROGRAM and FOLDER are absolute paths in the new root, such as /bin/program; got %.200q", name)
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

// ownVariable returns e as NAME=VALUE. A bare NAME gets the host's own value.
func ownVariable(e string) (string, error) {
	name, _, ok := strings.Cut(e, "=")
	if name == "" {
		return "", misuse("-e %.200q: the variable has no name", e)
	}
	if !ok {
		value, found := os.LookupEnv(name)
		if !found {
			return "", misuse("-e %s: this variable is not set; to give it a value, write -e %[1]s=VALUE", name)
		}
		e += "=" + value
	}
	return e, nil
}
