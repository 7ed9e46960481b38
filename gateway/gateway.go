// Package gateway is the client side of SCGI: it hands HTTP requests to an SCGI
// server, as a web server does. [Transport] is for clients in Go, and [New]
// returns an HTTP front end.
package gateway

// gateway.go owns the built-in front end: HTTP in, SCGI out. Rule: the request
// is passed on as it came, and a client is always answered; what it still sends
// of a request that was answered early is never taken for the next request.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"
)

// New returns a handler that passes requests on to the SCGI server at addr,
// in the grammar of scgi.Listen; empty is 127.0.0.1:4000. It is the web server for
// development, tests, and hosts that have none:
//
//	http.ListenAndServe("127.0.0.1:8080", gateway.New("unix:/run/app.sock"))
//
// Host, path, query and the client's address are passed on as they came, to any
// path, WebSocket and other upgrades included. The header fields Forwarded,
// X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto are not, since a
// client could forge them: the gateway is meant to be what clients connect to.
//
// The limits are those of a [Transport]'s zero value. A server that can't be
// reached, or breaks its reply before its body, is a 502, one that is too slow a
// 504, and both are logged to slog.Default; a body of unknown length that is too
// long is a 413, and a request that can't be sent as SCGI a 400. A reply that
// breaks in its body is cut.
func New(addr string) http.Handler {
	if addr == "" {
		addr = defaultAddr
	}
	return &handler{httputil.ReverseProxy{
		Transport:      &Transport{Addr: addr},
		Rewrite:        passOn,
		ModifyResponse: answeredEarly,
		ErrorHandler:   gatewayError,
	}}
}

type handler struct{ proxy httputil.ReverseProxy }

func (g *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		body := &clientBody{ReadCloser: r.Body}
		body.left.Store(r.ContentLength)
		r = r.WithContext(r.Context())
		r.Body = body
		defer body.end(http.NewResponseController(w))
	}
	g.proxy.ServeHTTP(w, r)
}

// passOn undoes what ReverseProxy did to the query.
func passOn(pr *httputil.ProxyRequest) {
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	if pr.Out.Body != nil {
		pr.Out.Body = pr.In.Body // a clientBody, which minds its own end
	}
}

// answeredEarly ends the connection to a client whose body was not read when
// the reply came. It is also what keeps net/http from reading the body first.
func answeredEarly(resp *http.Response) error {
	closeUnread(resp.Request, resp.Header)
	return nil
}

func closeUnread(r *http.Request, header http.Header) {
	if body, ok := r.Body.(*clientBody); ok && r.ProtoMajor == 1 && !body.whole() {
		header.Set("Connection", "close")
	}
}

// gatewayError answers a request that has no reply.
func gatewayError(w http.ResponseWriter, r *http.Request, err error) {
	status, reason := gatewayStatus(err)
	if status >= 500 && !errors.Is(r.Context().Err(), context.Canceled) {
		slog.Error("gateway: gateway", "status", status, "method", r.Method, "uri", fmt.Sprintf("%.200q", r.URL.RequestURI()), "err", err)
	}
	closeUnread(r, w.Header())
	http.Error(w, fmt.Sprintf("%d %s: %s", status, http.StatusText(status), reason), status)
}

func gatewayStatus(err error) (status int, reason string) {
	var tooLong *http.MaxBytesError
	var fault *requestError
	var wait net.Error
	switch {
	case errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge, "the request's body is too long"
	case errors.As(err, &fault):
		return http.StatusBadRequest, "the request can't be passed on over SCGI"
	case errors.As(err, &wait) && wait.Timeout():
		return http.StatusGatewayTimeout, "the SCGI server did not answer in time"
	}
	return http.StatusBadGateway, "no valid reply from the SCGI server"
}

// clientBody is the body of a request that the gateway received. It is read
// while the handler runs, and never after.
type clientBody struct {
	io.ReadCloser
	mu   sync.Mutex // held while reading
	over bool
	left atomic.Int64 // negative: not known
}

func (b *clientBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		b.left.Store(0)
	case b.left.Load() > 0:
		b.left.Add(int64(-n))
	}
	return n, err
}

// whole reports that nothing of the body is left to read.
func (b *clientBody) whole() bool { return b.left.Load() == 0 }

// Close does nothing: net/http closes the body, and would wait here for a
// client that sends no more.
func (b *clientBody) Close() error { return nil }

// end waits until nobody reads, and does not wait for the client.
func (b *clientBody) end(rc *http.ResponseController) {
	if !b.mu.TryLock() {
		_ = rc.SetReadDeadline(time.Unix(1, 0))
		b.mu.Lock()
	}
	b.over = true
	b.mu.Unlock()
}
