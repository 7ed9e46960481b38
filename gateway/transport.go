package gateway

// transport.go sends a request and reads its reply at the same time. Every wait is bounded,
// and cancelling the context ends all of them. A reply that can still be read is not lost
// because sending the request failed.

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/scgi/internal/socket"
)

const (
	// sendChunk is the most that one write sends within one WriteTimeout. On a unix
	// socket the kernel reports progress by whole writes.
	sendChunk = 32 << 10

	defaultAddr           = "127.0.0.1:4000" // scgi.DefaultAddr
	defaultDialTimeout    = 60 * time.Second // nginx's scgi_connect_timeout
	defaultReadTimeout    = 60 * time.Second // nginx's scgi_read_timeout
	defaultWriteTimeout   = 60 * time.Second // nginx's scgi_send_timeout
	defaultMaxHeaderBytes = 1 << 20          // as in net/http
	defaultMaxSpoolBytes  = 1 << 30          // scgi.DefaultMaxBodyBytes
	defaultMaxSpools      = 1024             // four times scgi.DefaultMaxWorkers
)

// Transport is an [http.RoundTripper] that speaks SCGI: it sends requests to an
// SCGI server as a web server does. The zero value is ready to use. A Transport is
// safe for concurrent use. As in scgi.Server, zero is the documented default of
// each number, and negative is no limit.
//
//	client := &http.Client{Transport: &gateway.Transport{Addr: "unix:/run/app.sock"}}
//	resp, err := client.Get("http://example.org/path")
//
// HTTP_HOST, SERVER_NAME and the path come from the request's Host and URL, and
// REMOTE_ADDR from its RemoteAddr. The path is PATH_INFO, and SCRIPT_NAME is
// empty; Env can change both. The Transport does not send the header field Proxy,
// fields with a "_" in their name, or fields of a single connection, except those
// of an upgrade.
//
// Each request has a connection of its own. A body of unknown length is spooled
// first, since SCGI announces the length. The reply's body ends with
// io.ErrUnexpectedEOF if the server ends it before its Content-Length; without
// a Content-Length, truncation can't be told from the end. A chunked body
// (Transfer-Encoding), which CGI does not have, is decoded and its trailer dropped.
// After a 101 the body is an io.ReadWriteCloser over the connection, as in net/http.
//
// A request with a NUL byte or a line break in a variable fails before dialing.
// Network errors are package net's; a cancelled context fails with its cause.
type Transport struct {
	// Addr is the server's address in the grammar of scgi.Listen, as in
	// "127.0.0.1:4000" or "unix:/run/app.sock"; options after a "?" are
	// ignored. If it is empty, each request goes to the host and port of its
	// URL, scgi://host:port/path, where the port defaults to 4000; so the
	// scheme can be given to an http.Transport:
	//
	//	t.RegisterProtocol("scgi", &gateway.Transport{})
	//
	// Any server that a client asks can then redirect it to any SCGI server that
	// the client's host can reach.
	Addr string

	// Env returns variables to add to those of a request, such as REMOTE_USER
	// and AUTH_TYPE from a front end that authenticates. They replace variables
	// of the same name: SCRIPT_NAME, PATH_INFO and REQUEST_URI for an app under a
	// prefix, HTTPS and REMOTE_ADDR behind another proxy. The request fails before
	// dialing if a name is not a token or is CONTENT_LENGTH or SCGI, or if a value
	// has a NUL byte or a line break.
	//
	// The request is the one passed to RoundTrip; from Handler it is a copy of
	// the client's, with its context. Env must not change it or read its body.
	// It is called once for each request, and must be safe for concurrent use.
	Env func(*http.Request) map[string]string

	// DialContext makes the connections. Nil means a net.Dialer that waits for
	// 60 s at most, nginx's scgi_connect_timeout. A connection without deadlines
	// has no timeout but the context's.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// MaxHeaderBytes bounds the reply's header block. Zero is 1 MiB.
	MaxHeaderBytes int

	// ReadTimeout and WriteTimeout bound one wait for the server to send, or
	// to take, a byte; progress renews them. Waiting for the reply begins when
	// the request is sent. Zero is 60 s, nginx's scgi_read_timeout and
	// scgi_send_timeout. The error is os.ErrDeadlineExceeded.
	//
	// On Linux the server's own progress counts, as the kernel reports it: on
	// TCP what the server's kernel has acknowledged; on a unix socket what the
	// server has read, by whole writes of at most 32 KiB. Elsewhere, and on a
	// connection of DialContext that hides its descriptor, progress is what the
	// local kernel accepts, and it may accept nothing until much of its buffer is
	// free.
	ReadTimeout  time.Duration
	WriteTimeout time.Duration

	// MaxSpoolBytes bounds each body that is read to its end before it is sent:
	// one of unknown length, and any that [Transport.Handler] receives. The first
	// 32 KiB are held in memory, the rest in a temporary file. A longer body is
	// an *http.MaxBytesError. Zero is 1 GiB.
	MaxSpoolBytes int64

	// MaxSpools bounds the number of such bodies at one time; a request above it
	// fails. Zero is 1024.
	MaxSpools int

	spools atomic.Int64
}

// requestError is an error in the request, as opposed to the server or the network.
type requestError struct{ err error }

func (e *requestError) Error() string { return "gateway: " + e.err.Error() }
func (e *requestError) Unwrap() error { return e.err }

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.roundTrip(req, t.Addr)
}

// roundTrip sends req to the server at addr, or to the server in its URL if addr is empty.
func (t *Transport) roundTrip(req *http.Request, addr string) (*http.Response, error) {
	ctx := req.Context()
	body := newRequestBody(req.Body)
	network, address, err := target(addr, req.URL)
	if err != nil {
		_ = body.Close()
		return nil, err
	}
	out, err := t.prepare(req, body)
	if err != nil {
		return nil, err
	}
	conn, err := t.dial(ctx, network, address)
	if err != nil {
		_ = out.body.Close()
		return nil, ctxOr(ctx, err)
	}
	rt := t.start(ctx, conn, out)
	resp, err := rt.readReply(req)
	if err != nil {
		err = rt.reason(err)
		rt.end()
		return nil, err
	}
	return resp, nil
}

// target returns the network address to which a Transport with this Addr sends a request
// for u.
func target(addr string, u *url.URL) (network, address string, err error) {
	scheme, rest, _ := strings.Cut(addr, ":")
	switch {
	case u == nil:
		return "", "", &requestError{errors.New("the request has no URL")}
	case addr == "" && (u.Scheme != "scgi" || u.Hostname() == ""):
		return "", "", &requestError{fmt.Errorf("%.64q is no scgi://host:port URL, and the Transport has no Addr", u.Redacted())}
	case addr == "":
		return "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "4000")), nil
	case scheme == "unix":
		path, _, _ := strings.Cut(rest, "?")
		return "unix", path, nil
	case scheme == "fd" || scheme == "systemd":
		return "", "", fmt.Errorf("gateway: %q is an address to listen on, not to connect to", addr)
	}
	return "tcp", addr, nil
}

func (t *Transport) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if t.DialContext != nil {
		return t.DialContext(ctx, network, addr)
	}
	return (&net.Dialer{Timeout: defaultDialTimeout}).DialContext(ctx, network, addr)
}

// roundTrip is a request and its reply on one connection. One goroutine sends, and the
// caller of RoundTrip reads.
type roundTrip struct {
	ctx  context.Context
	conn net.Conn
	in   *bufio.Reader // reads through Read
	body *requestBody

	readTimeout  time.Duration
	writeTimeout time.Duration

	queue   int                   // bytes that the server had not taken at the last check; owned by the reader once sent is closed
	room    int                   // bytes left for the reply's header; negative is no limit
	readErr error                 // the first error that Read returned
	began   atomic.Bool           // whether the reply has begun
	sent    chan struct{}         // closed when sending has ended
	failure atomic.Pointer[error] // why the connection was closed
	unwatch func() bool           // stops watching ctx
	ended   sync.Once
}

func (t *Transport) start(ctx context.Context, conn net.Conn, out *outgoing) *roundTrip {
	rt := &roundTrip{
		ctx:          ctx,
		conn:         conn,
		body:         out.body,
		readTimeout:  cmp.Or(t.ReadTimeout, defaultReadTimeout),
		writeTimeout: cmp.Or(t.WriteTimeout, defaultWriteTimeout),
		room:         cmp.Or(t.MaxHeaderBytes, defaultMaxHeaderBytes),
		sent:         make(chan struct{}),
	}
	rt.in = bufio.NewReader(rt)
	rt.unwatch = context.AfterFunc(ctx, func() {
		_ = conn.Close()
		_ = out.body.Close()
	})
	go rt.send(out)
	return rt
}

// send sends the request. An error of the connection does not end the exchange, since the
// server may have answered early: the reader finds out. The writing side stays open: no web
// server shuts it down, and SCGI servers take a half-close for a client that went away.
func (rt *roundTrip) send(out *outgoing) {
	defer out.body.Close()
	err := rt.sendAll(out)
	_ = rt.conn.SetReadDeadline(socket.Deadline(rt.readTimeout))
	close(rt.sent)
	if err == nil {
		err = out.checkEnd()
	}
	var fault *requestError
	stuck := errors.Is(err, os.ErrDeadlineExceeded) && !rt.began.Load()
	if stuck || errors.As(err, &fault) {
		rt.fail(err)
	}
}

// sendAll sends the header block, together with the start of the body if that is already
// there, and then the body as it arrives.
func (rt *roundTrip) sendAll(out *outgoing) error {
	buf := slices.Grow(out.head, int(min(out.length, sendChunk)))
	if !out.ready || out.length == 0 {
		if err := rt.write(buf); err != nil {
			return err
		}
		buf = buf[:0]
	}
	for left := out.length; left > 0; {
		room := min(int64(cap(buf)-len(buf)), left)
		n, err := out.body.Read(buf[len(buf):][:room])
		left -= int64(n)
		if err == io.EOF && left > 0 {
			err = &requestError{fmt.Errorf("the body is %d bytes shorter than its ContentLength: %w", left, io.ErrUnexpectedEOF)}
		}
		if err != nil && err != io.EOF {
			return err
		}
		if err := rt.write(buf[:len(buf)+n]); err != nil {
			return err
		}
		buf = buf[:0]
	}
	return nil
}

// write sends b. It fails if the server takes nothing for writeTimeout.
func (rt *roundTrip) write(b []byte) error {
	for len(b) > 0 {
		_ = rt.conn.SetWriteDeadline(socket.Deadline(rt.writeTimeout))
		n, err := rt.conn.Write(b[:min(len(b), sendChunk)])
		b = b[n:]
		took := rt.took() || n > 0
		if err != nil && !(took && errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
	}
	return nil
}

// took reports whether the server has taken bytes since the last call.
func (rt *roundTrip) took() bool {
	n, _ := socket.Unsent(rt.conn)
	fewer := n < rt.queue
	rt.queue = n
	return fewer
}

// Read reads the reply. It has no deadline while the request is being sent, since the server
// may be waiting for the rest of the request.
//
// Read keeps returning its first error. A line reader above may treat a line that the error
// truncated as whole, and read again.
func (rt *roundTrip) Read(p []byte) (n int, err error) {
	if rt.readErr == nil {
		n, rt.readErr = rt.readConn(p)
	}
	return n, rt.readErr
}

func (rt *roundTrip) readConn(p []byte) (int, error) {
	if rt.room == 0 {
		return 0, errReplyHeaderLimit
	}
	if rt.room > 0 {
		p = p[:min(len(p), rt.room)]
	}
	n, err := rt.waitForReply(p)
	if n == 0 {
		return 0, err
	}
	rt.began.Store(true)
	if rt.room > 0 {
		rt.room -= n
	}
	return n, nil // the next Read returns the error
}

// waitForReply reads into p. Once the request is sent, it fails after a readTimeout in which
// the server has neither replied nor taken any of the request.
func (rt *roundTrip) waitForReply(p []byte) (n int, err error) {
	for {
		if rt.isSent() {
			_ = rt.conn.SetReadDeadline(socket.Deadline(rt.readTimeout))
		}
		n, err = rt.conn.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !rt.isSent() || !rt.took() {
			return n, err
		}
	}
}

func (rt *roundTrip) isSent() bool {
	select {
	case <-rt.sent:
		return true
	default:
		return false
	}
}

// fail closes the connection with err as the reason.
func (rt *roundTrip) fail(err error) {
	rt.failure.CompareAndSwap(nil, &err)
	_ = rt.conn.Close()
}

// reason returns the cause of the connection's error err.
func (rt *roundTrip) reason(err error) error {
	if failure := rt.failure.Load(); failure != nil {
		err = *failure
	}
	return ctxOr(rt.ctx, err)
}

// end closes the connection when the reply is no longer being read. The rest of the request
// is dropped.
func (rt *roundTrip) end() {
	rt.ended.Do(func() {
		rt.unwatch()
		_ = rt.conn.Close()
		rt.body.abandon()
	})
}

// ctxOr returns the cause of ctx if ctx is cancelled, and err otherwise.
func ctxOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
