package scgi

// handler.go has the native Handler, the CGI program's ProduceFunc, and the default
// handler; http.go has net/http's. Each level is a Handler, and none knows of
// connections or workers.

import (
	"fmt"
	"io"
	"net/http"
)

// A Handler answers an SCGI request.
//
// ServeSCGI writes the reply to w and returns; returning ends the request. The
// writer is net/http's: http.Error, http.SetCookie, http.ResponseController and
// io.Copy work with it unchanged. Neither w nor r.Body may be used after
// ServeSCGI has returned: writes and reads fail then with an error. The
// variables in r stay valid for as long as they are kept.
//
// Read the request body before writing a large response: nginx stops sending a
// request once its reply has begun, and Apache reads no reply before it has sent the
// whole request. If a write makes no progress because the peer is still sending, the
// server drops the rest of the body, and reading it fails with
// http.ErrBodyReadAfterClose.
//
// A handler that panics, or calls runtime.Goexit, loses only its own request: the
// client gets a 500 if nothing was sent yet, and a cut connection otherwise. The server
// logs the panic with its stack, unless it is [http.ErrAbortHandler]. A reply that is
// shorter than its Content-Length ends the same way. A write past the Content-Length
// fails with [http.ErrContentLength], as does each one after it.
//
// A handler that sets no status replies with 200, or with 302 if it sets Location
// (RFC 3875 §6.2.3).
//
// Handlers run concurrently, at most Server.MaxWorkers of them.
type Handler interface {
	ServeSCGI(w http.ResponseWriter, r *Request)
}

// HandlerFunc is a function as a [Handler].
type HandlerFunc func(w http.ResponseWriter, r *Request)

// ServeSCGI calls f(w, r).
func (f HandlerFunc) ServeSCGI(w http.ResponseWriter, r *Request) { f(w, r) }

// ProduceFunc is a CGI program as a [Handler]: it reads bodySize bytes of
// request body from input and writes a whole CGI response (RFC 3875 §6), its
// header block first, to output. The server passes the bytes on as they are: it adds,
// checks and sniffs nothing, so a client that expects no header block can be served
// too.
//
// Output is buffered; it implements [http.Flusher] for a program that streams.
// Neither input nor output may be used after the function has returned.
type ProduceFunc func(env Env, bodySize int64, input io.Reader, output io.Writer)

// ServeSCGI calls f with r's parts. It panics unless w is the Server's own
// writer or unwraps to it (see [http.ResponseController]), since no other takes
// raw bytes.
func (f ProduceFunc) ServeSCGI(w http.ResponseWriter, r *Request) {
	own := responseOf(w)
	if own == nil {
		panic(fmt.Sprintf("scgi: ProduceFunc: %T is not a Server's ResponseWriter and does not unwrap to one", w))
	}
	f(r.Env, r.ContentLength, r.Body, own.rawOutput())
}

// printEnv is the default handler: it answers with the request's variables, one a line,
// in the order they were sent, as the reference server does.
func printEnv(w http.ResponseWriter, r *Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for name, value := range r.Env.All() {
		fmt.Fprintf(w, "%s: %q\n", printable(name), value)
	}
}

// printable escapes the bytes of s that do not print, so that one variable can't pass
// for two lines.
func printable(s string) string {
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}
