// Package gateway is the client side of SCGI: it hands HTTP requests to an SCGI
// server, as a web server does. [Transport] is for clients in Go, and [New]
// returns an HTTP front end.
package gateway

// gateway.go owns the HTTP front end. Rule: the request is passed on as it came,
// no worker of the server waits for a client's body, and every client is
// answered.

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

// New returns an HTTP front end to the SCGI server at addr, in the grammar of
// scgi.Listen; empty is 127.0.0.1:4000. It is the [Transport.Handler] of a
// Transport with that address:
//
//	http.ListenAndServe("127.0.0.1:8080", gateway.New("unix:/run/app.sock"))
func New(addr string) http.Handler {
	return (&Transport{Addr: addr}).Handler()
}

// Handler returns a handler that passes the requests of an [http.Server] on with
// t, to 127.0.0.1:4000 if t has no Addr. t must not be changed afterwards.
//
// It is a web server for development, for tests, and for hosts where a few known
// clients connect. It is none for the public: it keeps no replies, so a client
// that reads a long one slowly holds a worker of the server, it does not limit
// what one client may ask, and timeouts for headers and idle connections are
// those of the http.Server. Put nginx, lighttpd or Apache in front for that.
//
// Path, query, host, header fields and the client's address are passed on as
// they came, WebSocket and other upgrades included. The fields Forwarded,
// X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto are not, since a
// client could forge them.
//
// A request's body is read to its end before the server is asked, within
// MaxSpoolBytes and MaxSpools, so slow uploads hold no workers. It fails after
// 60 s in which none of it arrives, nginx's client_body_timeout, unless the
// http.Server has a ReadTimeout of its own. To send uploads on as they come, use
// t with a [httputil.ReverseProxy]. Replies reach the client as they come.
//
// A body that is too long is answered with 413, one that stops with 408, one
// above MaxSpools with 503, and a request that can't be sent as SCGI with 400. A
// server that can't be reached, or breaks its reply before its body, is a 502,
// one that is too slow a 504. What is 500 or above is logged to slog.Default. A
// reply that breaks in its body is cut.
func (t *Transport) Handler() http.Handler {
	h := &handler{transport: t, addr: cmp.Or(t.Addr, defaultAddr)}
	h.proxy = httputil.ReverseProxy{
		Transport:     h,
		Rewrite:       passOn,
		ErrorHandler:  fail,
		FlushInterval: -1, // what the server sends is not held back
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
	if r.ContentLength != 0 {
		body, err := h.transport.spoolClient(w, r)
		if err != nil {
			if r.ProtoMajor == 1 {
				// The rest of the body must not be taken for a request, nor
				// does net/http wait for it then before it answers.
				w.Header().Set("Connection", "close")
			}
			fail(w, r, err)
			return
		}
		defer body.Close()
		r = r.WithContext(r.Context())
		r.Body, r.ContentLength = body, body.size
	}
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

// clientBody is the body of a received request, with a deadline for each wait.
type clientBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *clientBody) Read(p []byte) (int, error) {
	_ = b.rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	return b.ReadCloser.Read(p)
}

// passOn undoes what ReverseProxy did to the query, and to the body, which the
// Transport is to close.
func passOn(pr *httputil.ProxyRequest) {
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	if pr.Out.Body != nil {
		pr.Out.Body = pr.In.Body
	}
}

// fail answers a request that has no reply.
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
