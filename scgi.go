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
	"cmp"
	"errors"
	"net"
	"time"

	sockets "example.com/scgi/internal/listen" // the tests have a function called listen
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

// Listen opens the listener that addr names. An empty addr means [DefaultAddr].
//
//	127.0.0.1:4000  [::1]:4000  localhost:4000
//	unix:/run/app.sock
//	unix:/run/app.sock?mode=0666&owner=www-data&group=www-data
//	fd:0
//	systemd:  systemd:app.socket
//
// TCP: host and port are both required; port 0 means any free one. Since SCGI
// has no authentication, every interface must be asked for by its full name:
// "0.0.0.0:4000" (IPv4) or "[::]:4000" (both), not ":4000".
//
// A unix socket has its mode (octal; 0660 if none is given), owner and group
// (each a name or a number; the process's own if not given) before anyone can
// connect. A dead server's socket is replaced; one that is alive, or might be,
// gives an error that is syscall.EADDRINUSE; a file that is not a socket is
// never touched. Close removes the file unless someone else has put another in
// its place, also after os.Chdir. A path can't hold a "?" or be longer than a
// socket's name (107 bytes on Linux), and its folder must be readable and
// writable. A folder that everyone may enter and write to is refused unless it has
// the sticky bit, as /tmp has. Abstract sockets are refused. Options are an error on
// systems whose sockets have no file mode, such as Windows.
//
// fd: is a listening socket inherited as the file descriptor of that number:
// lighttpd's bin-path and spawn-fcgi pass it as 0. The Listener takes it over:
// descriptors 0 to 2 become the null device.
//
// systemd: is socket activation (sd_listen_fds(3)): the sockets whose
// FileDescriptorName= is the name, or without a name all that were passed. Each
// can be taken once in the life of the process. The first use removes LISTEN_PID,
// LISTEN_FDS and LISTEN_FDNAMES from the environment. An address that names
// several sockets is an error here and takes them; [Server.ListenAndServe]
// serves all of them.
//
// Inherited sockets are unix or TCP, keep their modes, and are never unlinked.
//
// The words before the colon win over hosts of the same name. Listen is safe for
// concurrent use.
func Listen(addr string) (net.Listener, error) {
	return sockets.One(cmp.Or(addr, DefaultAddr))
}

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
