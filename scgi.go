// Package scgi serves requests that nginx, lighttpd or Apache pass on over SCGI, the
// Simple Common Gateway Interface. The program keeps running behind the web server,
// under its own user, in a chroot or on another machine.
//
// # Which handler
//
// An app written for net/http needs one line. ServeMux, middleware, FileServer,
// cookies, event streams and WebSocket work as they do under net/http itself:
//
//	scgi.ListenAndServe("127.0.0.1:4000", scgi.HTTPHandler(mux))
//
// A [HandlerFunc] gets the request's variables as they came ([Request.Env]), the body,
// and an [http.ResponseWriter]. It costs the least.
//
// A [ProduceFunc] ports a CGI program: it gets the variables, the body and a plain
// writer, and writes its own header block and page, which the server passes on byte
// for byte.
//
// # The server
//
// [Server] has net/http's life cycle: Serve, Shutdown, Close, [ErrServerClosed]. Its
// zero value is ready to use, with limits on. For each of its numbers zero is the
// documented default and negative is no limit.
//
// Package prefork runs a Server in several processes, and package gateway is the
// client side.
//
// # Trust
//
// SCGI has no authentication. A peer that can connect can send any variable, and so
// pass for any REMOTE_USER from any REMOTE_ADDR. Listen where only the web server can
// connect: on a unix socket, or on the loopback interface. QUERY_STRING, the HTTP_
// variables and the body are the client's word: never trust them.
//
// # Compatibility
//
// Exported names follow semantic versioning. The texts of errors, log lines and
// refusals may change in any release.
//
// The protocol is the one of https://python.ca/scgi/protocol.txt (2008-06-23),
// cited as SCGI; CGI is RFC 3875.
package scgi

import (
	"errors"
	"net"
	"time"
)

// Defaults of [Server], each with its precedent. Zero in a field of Server
// means these.
const (
	DefaultAddr              = "127.0.0.1:4000" // the port of the reference server; the loopback interface only
	DefaultMaxWorkers        = 256              // Apache's MaxRequestWorkers
	DefaultMaxConns          = 4096             // Linux's own bound on a backlog, somaxconn
	DefaultMaxHeaderBytes    = 64 << 10         // uWSGI's largest buffer; a default nginx forwards up to 40 kB
	DefaultMaxBodyBytes      = 1 << 30          // Apache's LimitRequestBody
	DefaultReadHeaderTimeout = 60 * time.Second // nginx's client_header_timeout
	DefaultReadTimeout       = 60 * time.Second // nginx's client_body_timeout
)

// ErrServerClosed is returned by Serve and ListenAndServe after a call to
// Shutdown or Close.
var ErrServerClosed = errors.New("scgi: Server closed")

// ListenAndServe listens on addr, in the grammar of [Listen], and serves each
// request with handler. It always returns a non-nil error.
func ListenAndServe(addr string, handler Handler) error {
	return (&Server{Handler: handler}).ListenAndServe(addr)
}

// Serve accepts connections on l and serves each request with handler. A nil
// handler answers with the request's variables. It always returns a non-nil
// error and closes l.
func Serve(l net.Listener, handler Handler) error {
	return (&Server{Handler: handler}).Serve(l)
}
