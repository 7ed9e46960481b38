// Package gateway is the client side of SCGI: it hands HTTP requests to an SCGI
// server, as a web server does. [Transport] is for clients in Go, and [New]
// returns an HTTP front end.
package gateway

// gateway.go is the HTTP front end. The server gets each request as the client sent it. No
// worker of the server waits for a client's body, and every client gets an answer.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"time"
)

// bodyTimeout is nginx's client_body_timeout.
const bodyTimeout = 60 * time.Second

// New returns an HTTP front end to the SCGI server at addr. The grammar of addr is
// that of scgi.Listen; empty means 127.0.0.1:4000. The front end is the
// [Transport.Handler] of a Transport with that address:
//
//	http.ListenAndServe("127.0.0.1:8080", gateway.New("unix:/run/app.sock"))
func New(addr string) http.Handler {
	return (&Transport{Addr: addr}).Handler()
}

// Handler returns a handler that forwards the requests of an [http.Server] through
// t. If t has no Addr, they go to 127.0.0.1:4000. t must not be changed afterwards.
//
// The handler is a web server for development, for tests, and for hosts that only
// known clients can reach. Put nginx, lighttpd or Apache in front of the public
// instead: the handler does not store replies, so a client that reads a long reply
// slowly holds a worker of the server; it does not limit the requests of one
// client; and the timeouts for headers and idle connections are those of the
// http.Server.
//
// The server gets the client's address, and the path, query, host and header fields
// as the client sent them, including those of WebSocket and other upgrades. It does
// not get Forwarded, X-Forwarded-For, X-Forwarded-Host or X-Forwarded-Proto, since a
// client could forge them.
//
// The handler reads a request's body to its end, within MaxSpoolBytes and
// MaxSpools, before it connects to the server, so slow uploads hold no workers. It
// waits 60 s for each part of the body, nginx's client_body_timeout, unless the
// http.Server has a ReadTimeout. To stream uploads to the server, use t in a
// [httputil.ReverseProxy]. Replies are streamed to the client.
//
// The handler answers with 413 if a body is larger than MaxSpoolBytes, 408 if it
// stops arriving, 503 if MaxSpools bodies are spooled already, 500 if it can't be
// stored, and 400 if a request can't be sent as SCGI. It answers with 502 if the
// server can't be reached or its reply breaks off before the body, and with 504
// after a timeout. It logs statuses from 500 up to slog.Default. If the reply breaks
// off in its body, the handler closes the client's connection.
func (t *Transport) Handler() http.Handler {
	h := &handler{transport: t, addr: cmp.Or(t.Addr, defaultAddr)}
	h.proxy = httputil.ReverseProxy{
		Transport:     h,
		Rewrite:       passOn,
		ErrorHandler:  fail,
		FlushInterval: -1, // also for a reply with a Content-Length
	}
	return h
}

type handler struct {
	transport *Transport
	addr      string
	proxy     httputil.ReverseProxy
}

// RoundTrip implements [http.RoundTripper] for the proxy.
func (h *handler) RoundTrip(req *http.Request) (*http.Response, error) {
	return h.transport.roundTrip(req, h.addr)
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 && r.Body != nil {
		body, err := h.transport.spoolClient(w, r)
		if err != nil {
			if r.ProtoMajor == 1 {
				// Otherwise net/http waits for the rest of the body
				// before it sends the answer.
				w.Header().Set("Connection", "close")
			}
			fail(w, r, err)
			return
		}
		defer body.Close()
		r = r.WithContext(r.Context())
		r.Body, r.ContentLength = body, body.size
	}
	w.Header()["Content-Type"] = nil // keeps net/http from adding one
	h.proxy.ServeHTTP(w, r)
}

// spoolClient reads the body of r to its end.
func (t *Transport) spoolClient(w http.ResponseWriter, r *http.Request) (*spooled, error) {
	limit := t.maxSpool()
	if r.ContentLength > limit {
		return nil, tooLong(limit)
	}
	s, err := t.newSpool()
	if err != nil {
		return nil, err
	}
	body := r.Body
	if srv, _ := r.Context().Value(http.ServerContextKey).(*http.Server); srv == nil || srv.ReadTimeout == 0 {
		rc := http.NewResponseController(w)
		defer rc.SetReadDeadline(time.Time{})
		body = &clientBody{r.Body, rc}
	}
	err = s.fill(newRequestBody(body), limit)
	if err == nil && r.ContentLength > s.size {
		err = &requestError{io.ErrUnexpectedEOF}
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// clientBody is a received body with a deadline for each Read.
type clientBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *clientBody) Read(p []byte) (int, error) {
	_ = b.rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	return b.ReadCloser.Read(p)
}

// passOn restores the query and the body that ReverseProxy has changed. The Transport
// closes the body.
func passOn(pr *httputil.ProxyRequest) {
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	if pr.Out.Body != nil {
		pr.Out.Body = pr.In.Body
	}
}

// fail answers a request for which there is no reply.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	status, reason := failure(err)
	if status >= 500 && !errors.Is(r.Context().Err(), context.Canceled) {
		uri := requestURI(r)
		slog.Error("gateway: no reply", "status", status, "method", r.Method, "uri", uri[:min(len(uri), 200)], "err", err)
	}
	http.Error(w, fmt.Sprintf("%d %s: %s", status, http.StatusText(status), reason), status)
}

func failure(err error) (status int, reason string) {
	var tooLong *http.MaxBytesError
	var fault *requestError
	var wait net.Error
	timeout := errors.As(err, &wait) && wait.Timeout()
	switch {
	case errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge, "the request's body is too long"
	case errors.As(err, &fault) && timeout:
		return http.StatusRequestTimeout, "the request's body did not arrive in time"
	case errors.As(err, &fault):
		return http.StatusBadRequest, "the request can't be passed on over SCGI"
	case errors.Is(err, errSpools):
		return http.StatusServiceUnavailable, "too many uploads at one time"
	case errors.Is(err, errSpoolDisk):
		return http.StatusInternalServerError, "the request's body can't be stored"
	case timeout:
		return http.StatusGatewayTimeout, "the SCGI server did not answer in time"
	}
	return http.StatusBadGateway, "no valid reply from the SCGI server"
}
