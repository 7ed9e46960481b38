package main

// get.go asks an SCGI server for one page, as curl does. gateway.Transport sends
// the request, as it does for any Go client; -v and -i show the bytes on the
// connection, before they are parsed.

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

Get sends a request to the SCGI server at ADDR and writes the body of the reply
to standard output. The default PATH is /; a URL also sets the host and HTTPS.

  -X METHOD         the method (GET, or POST with -d)
  -H 'NAME: VALUE'  send a header field
  -d DATA           send DATA as the body; @FILE is a file, - is standard input
  -e NAME=VALUE     send a variable, such as REMOTE_USER or SCRIPT_NAME
  -f                exit with 22, without the body, if the status is an error
  -i                write the reply's header too
  -m TIME           give up after TIME, such as 5s
  -o FILE           write to FILE
  -raw FILE         send FILE unchanged, and write the reply unchanged
  -v                show the variables sent and the header received

It exits with curl's statuses:
  0 success            7 can't connect     26 can't read FILE
  2 wrong arguments    8 not a CGI reply   28 timeout
  6 unknown host      18 incomplete reply  52 closed without a reply
  22 HTTP error (-f)  23 can't write       56 connection lost
`

// Exit statuses of get, taken from curl(1).
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
	data                   *string // nil for no body
	fields, env            list
	fail, include, verbose bool
	limit                  time.Duration

	addr                 string
	network, networkAddr string // as last dialed
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
		return misuse("want the address of an SCGI server and at most one path; see scgi help get")
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

// variables returns the variables given by -e.
func (c *get) variables() (map[string]string, error) {
	env := make(map[string]string)
	for _, e := range c.env {
		name, value, ok := strings.Cut(e, "=")
		if !ok {
			return nil, misuse("-e %.200q: a variable is NAME=VALUE", e)
		}
		if name == "CONTENT_LENGTH" || name == "SCGI" {
			return nil, misuse("-e %.200q: get sets this variable itself; -raw sends any bytes", e)
		}
		env[name] = value
	}
	return env, nil
}

// request builds the request from the flags.
func (c *get) request(ctx context.Context, path string) (*http.Request, error) {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, misuse("%.200q is neither a path, such as /app/page?query, nor a URL", path)
	}
	u.Scheme, u.Host = cmp.Or(u.Scheme, "http"), cmp.Or(u.Host, "localhost")
	req := (&http.Request{Method: cmp.Or(c.method, http.MethodGet), URL: u, Header: make(http.Header)}).WithContext(ctx)
	for _, field := range c.fields {
		name, value, ok := strings.Cut(field, ":")
		if !ok || strings.ContainsAny(name, "_ ") {
			return nil, misuse("-H %.200q: a field is NAME: VALUE, with no _ in NAME; to set a variable, use -e HTTP_NAME=VALUE", field)
		}
		req.Header.Add(name, strings.TrimSpace(value))
	}
	req.Host = req.Header.Get("Host")
	req.Header.Del("Host")
	return req, c.addBody(req)
}

// addBody sets the body given by -d.
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

// show writes the reply to the output.
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

// output is the destination of the reply. It marks its errors with exitWrite, so
// that they differ from the connection's.
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

// sendRaw sends a file unchanged and writes the reply unchanged. It does not shut
// down its side of the connection: no web server does, and an SCGI server would
// conclude that the client has gone.
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
	go conn.Write(b) // the server may reply before it has read everything
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

// explain returns err with its exit status and with advice.
func (c *get) explain(err error) error {
	var known *statusError
	var dns *net.DNSError
	var broken *net.OpError
	var slow net.Error
	var file *fs.PathError
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &file): // reading the file of -d failed
		return &statusError{exitRead, err}
	case !c.wire.dialed:
		return misuse("%w", err)
	case errors.As(err, &dns):
		return &statusError{exitHost, err}
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout():
		if c.wire.Conn != nil && len(c.wire.received) == 0 && c.answersHTTP() {
			return c.errHTTP()
		}
		return &statusError{exitTimeout, fmt.Errorf("%w: is this an SCGI server, and is its app hanging?", err)}
	case c.wire.Conn == nil:
		return c.explainDial(err)
	case len(c.wire.received) == 0 && !errors.Is(err, syscall.ECONNRESET):
		return &statusError{exitNothing, fmt.Errorf("%s closed the connection without a reply; its log may say why, or it speaks another protocol, such as FastCGI", c.addr)}
	case c.wire.speaksTLS():
		return &statusError{exitReply, fmt.Errorf("%s speaks TLS, not SCGI", c.addr)}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &statusError{exitCut, fmt.Errorf("incomplete reply: %w", err)}
	case errors.As(err, &broken):
		return &statusError{exitBroken, err}
	}
	return &statusError{exitReply, fmt.Errorf("%w; -v shows what was received", err)}
}

func (c *get) errHTTP() error {
	return &statusError{exitReply, fmt.Errorf("%s speaks HTTP, not SCGI; try curl http://%[1]s/", c.addr)}
}

// probeTime bounds the probe in answersHTTP.
const probeTime = time.Second

// answersHTTP reports whether a silent server speaks HTTP. Most HTTP servers wait
// for the end of a line, and an SCGI request has none. The method is invalid, so
// that an SCGI server that recognizes HTTP requests does not recognize this one.
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

// explainDial is explain for a failed dial.
func (c *get) explainDial(err error) error {
	advice := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		advice = ": this user needs permission to write to the socket and to search each folder above it"
	case errors.Is(err, fs.ErrNotExist):
		advice = ": is the app running, and is this its socket?"
	case errors.Is(err, syscall.ECONNREFUSED):
		advice = ": nothing listens there; is the app running, and at this address?"
	}
	return &statusError{exitConnect, fmt.Errorf("%w%s", err, advice)}
}
