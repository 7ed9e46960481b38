package main

// get.go owns one request and what is shown of it. Rule: the request is the
// Transport's, as any client's in Go, and what -v and -i show are the bytes on
// the connection, not what was made of them.

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"example.com/scgi/gateway"
)

const getHelp = `usage: scgi get [flags] ADDR [PATH]

Get sends a request to the SCGI server at ADDR and writes the body of its reply
to standard output. PATH is / unless given; a URL names the host and https too.

  -X METHOD         GET unless given, or POST with -d
  -H 'NAME: VALUE'  send a header field
  -d DATA           send a body: DATA, or with @FILE a file, with - the input
  -e NAME=VALUE     send a variable, such as REMOTE_USER or SCRIPT_NAME
  -f                exit with 22, without the body, if the status is an error
  -i                write the reply's header too
  -m TIME           give up after TIME, such as 5s
  -o FILE           write to FILE
  -raw FILE         send the bytes of FILE as they are, write those that come
  -v                show the variables sent and the header received

It exits with curl's statuses:
  0 done               7 can't connect     26 can't read FILE
  2 wrong arguments    8 no SCGI reply     28 no reply in time
  6 unknown host      18 the reply is cut  52 closed without a reply
  22 HTTP error (-f)  23 can't write       56 the connection broke
`

// The statuses of curl(1) that get exits with.
const (
	exitHost    = 6
	exitConnect = 7
	exitReply   = 8
	exitCut     = 18
	exitHTTP    = 22
	exitWrite   = 23
	exitRead    = 26
	exitTimeout = 28
	exitNothing = 52
	exitBroken  = 56
)

// dialTime is nginx's scgi_connect_timeout.
const dialTime = 60 * time.Second

type get struct {
	method, output, raw    string
	data                   *string // nil: no body
	fields, env            list
	fail, include, verbose bool
	limit                  time.Duration

	addr                 string
	network, networkAddr string // of the connection
	wire                 wiretap
}

func (c *get) help() string { return getHelp }

func (c *get) define(flags *flag.FlagSet) {
	flags.StringVar(&c.method, "X", "", "")
	flags.Var(&c.fields, "H", "")
	flags.Func("d", "", func(data string) error { c.data = &data; return nil })
	flags.Var(&c.env, "e", "")
	flags.BoolVar(&c.fail, "f", false, "")
	flags.BoolVar(&c.include, "i", false, "")
	flags.DurationVar(&c.limit, "m", 0, "")
	flags.StringVar(&c.output, "o", "", "")
	flags.StringVar(&c.raw, "raw", "", "")
	flags.BoolVar(&c.verbose, "v", false, "")
}

func (c *get) run(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return misuse("the address of an SCGI server is needed, and a path at most; see scgi help get")
	}
	c.addr = args[0]
	if err := checkAddr(c.addr); err != nil {
		return err
	}
	ctx := context.Background()
	if c.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.limit)
		defer cancel()
	}
	c.wire.verbose = c.verbose
	if c.raw != "" {
		return c.explain(c.sendRaw(ctx))
	}
	env, err := c.variables()
	if err != nil {
		return err
	}
	req, err := c.request(ctx, cmp.Or(append(args[1:], "/")...))
	if err != nil {
		return err
	}
	t := &gateway.Transport{Addr: c.addr, DialContext: c.dial, Env: func(*http.Request) map[string]string { return env }}
	resp, err := t.RoundTrip(req)
	c.wire.showReply()
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	return c.show(resp)
}

// variables are those of -e.
func (c *get) variables() (map[string]string, error) {
	env := make(map[string]string)
	for _, e := range c.env {
		name, value, ok := strings.Cut(e, "=")
		if !ok {
			return nil, misuse("-e %.200q: a variable is NAME=VALUE", e)
		}
		if name == "CONTENT_LENGTH" || name == "SCGI" {
			return nil, misuse("-e %.200q: get sends it by itself; -raw sends any bytes", e)
		}
		env[name] = value
	}
	return env, nil
}

// request makes the request that the flags ask for.
func (c *get) request(ctx context.Context, path string) (*http.Request, error) {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, misuse("%.200q is no path, such as /app/page?query, and no URL", path)
	}
	u.Scheme, u.Host = cmp.Or(u.Scheme, "http"), cmp.Or(u.Host, "localhost")
	req := (&http.Request{Method: cmp.Or(c.method, http.MethodGet), URL: u, Header: make(http.Header)}).WithContext(ctx)
	for _, field := range c.fields {
		name, value, ok := strings.Cut(field, ":")
		if !ok || strings.ContainsAny(name, "_ ") {
			return nil, misuse("-H %.200q: a field is NAME: VALUE, without _ in its name; a variable is -e HTTP_NAME=VALUE", field)
		}
		req.Header.Add(name, strings.TrimSpace(value))
	}
	req.Host = req.Header.Get("Host")
	req.Header.Del("Host")
	return req, c.addBody(req)
}

// addBody gives req the body that -d names.
func (c *get) addBody(req *http.Request) error {
	if c.data == nil {
		return nil
	}
	file, isFile := strings.CutPrefix(*c.data, "@")
	switch {
	case *c.data == "-" || *c.data == "@-":
		req.Body, req.ContentLength = os.Stdin, -1
	case isFile:
		f, err := os.Open(file)
		if err != nil {
			return &statusError{exitRead, err}
		}
		req.Body, req.ContentLength = f, -1
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			req.ContentLength = info.Size()
		}
	default:
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(*c.data)), int64(len(*c.data))
	}
	if c.method == "" {
		req.Method = http.MethodPost
	}
	if req.Header["Content-Type"] == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return nil
}

// show writes the reply.
func (c *get) show(resp *http.Response) error {
	if c.wire.speaksHTTP() && resp.StatusCode == http.StatusBadRequest {
		return c.errHTTP()
	}
	if c.fail && resp.StatusCode >= 400 {
		return &statusError{exitHTTP, fmt.Errorf("the status is %s", resp.Status)}
	}
	out, err := c.openOutput()
	if err != nil {
		return err
	}
	if c.include {
		_, err = out.Write(c.wire.head())
	}
	if err == nil {
		_, err = io.Copy(out, resp.Body)
	}
	return cmp.Or(c.explain(err), out.Close())
}

func (c *get) openOutput() (output, error) {
	if c.output == "" {
		return output{os.Stdout}, nil
	}
	f, err := os.Create(c.output)
	if err != nil {
		return output{}, &statusError{exitWrite, err}
	}
	return output{f}, nil
}

// output is where the reply goes. Its errors can be told from the connection's.
type output struct{ file *os.File }

func (o output) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	if err != nil {
		err = &statusError{exitWrite, err}
	}
	return n, err
}

func (o output) Close() error {
	if err := o.file.Close(); err != nil {
		return &statusError{exitWrite, err}
	}
	return nil
}

// sendRaw sends a file as it is, and writes what comes. It does not end its side
// of the connection: no web server does, and servers take it for a client that
// has gone.
func (c *get) sendRaw(ctx context.Context) error {
	b, err := os.ReadFile(c.raw)
	if err != nil {
		return &statusError{exitRead, err}
	}
	network, addr := "tcp", c.addr
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network = "unix"
		addr, _, _ = strings.Cut(path, "?")
	}
	conn, err := c.dial(ctx, network, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	out, err := c.openOutput()
	if err != nil {
		return err
	}
	go conn.Write(b) // an answer may come before the end of it
	_, err = io.Copy(out, conn)
	return cmp.Or(err, out.Close())
}

func (c *get) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.wire.dialed, c.network, c.networkAddr = true, network, addr
	conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.wire.Conn = conn
	return &c.wire, nil
}

// explain gives err its status, and says what to do about it.
func (c *get) explain(err error) error {
	var known *statusError
	var dns *net.DNSError
	var broken *net.OpError
	var slow net.Error
	var file *fs.PathError
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &file): // of -d
		return &statusError{exitRead, err}
	case !c.wire.dialed:
		return misuse("%w", err)
	case errors.As(err, &dns):
		return &statusError{exitHost, err}
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout():
		if c.wire.Conn != nil && len(c.wire.received) == 0 && c.answersHTTP() {
			return c.errHTTP()
		}
		return &statusError{exitTimeout, fmt.Errorf("%w: is this an SCGI server, and does its app hang?", err)}
	case c.wire.Conn == nil:
		return c.explainDial(err)
	case len(c.wire.received) == 0 && !errors.Is(err, syscall.ECONNRESET):
		return &statusError{exitNothing, fmt.Errorf("%s closed the connection without a reply; its log may say why, or it speaks another protocol, such as FastCGI", c.addr)}
	case c.wire.speaksTLS():
		return &statusError{exitReply, fmt.Errorf("%s speaks TLS, not SCGI", c.addr)}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &statusError{exitCut, fmt.Errorf("the reply is not whole: %w", err)}
	case errors.As(err, &broken):
		return &statusError{exitBroken, err}
	}
	return &statusError{exitReply, fmt.Errorf("%w; -v shows what came", err)}
}

func (c *get) errHTTP() error {
	return &statusError{exitReply, fmt.Errorf("%s speaks HTTP, not SCGI; ask it with curl http://%[1]s/", c.addr)}
}

// probeTime is what an HTTP server has to answer answersHTTP.
const probeTime = time.Second

// answersHTTP asks a server that is silent. Most HTTP servers wait for the end of
// a line, which no SCGI request has. The method is none, so that an SCGI server
// that has an answer for HTTP does not give it.
func (c *get) answersHTTP() bool {
	conn, err := net.DialTimeout(c.network, c.networkAddr, probeTime)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(probeTime))
	answer := make([]byte, len("HTTP/"))
	_, err = io.WriteString(conn, "? / HTTP/1.0\r\n\r\n")
	if err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	return err == nil && string(answer) == "HTTP/"
}

// explainDial is explain for a connection that was not made.
func (c *get) explainDial(err error) error {
	advice := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		advice = ": this user needs the right to write to the socket, and to enter each folder above it"
	case errors.Is(err, fs.ErrNotExist):
		advice = ": does the app run, and is this its socket?"
	case errors.Is(err, syscall.ECONNREFUSED):
		advice = ": nobody listens there; does the app run, and at this address?"
	}
	return &statusError{exitConnect, fmt.Errorf("%w%s", err, advice)}
}
