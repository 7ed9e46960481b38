package scgi

// listen.go owns the address: one grammar for the library, its examples and a
// program's flags, and what it shares among the kinds of listener. Rule: an
// address says in full what it opens, and is refused where it could open more
// than its writer meant.

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// One reason for each way that an address is refused.
var (
	errAddrSyntax    = errors.New(`want "host:port", "unix:/path", "fd:number" or "systemd:name"`)
	errAddrWildcard  = errors.New("this would listen on every interface; if that is meant, write it out")
	errAddrAbstract  = errors.New(`no file mode protects an abstract socket; for a file of that name, write "unix:./@name"`)
	errAddrOption    = errors.New("bad option")
	errAddrLong      = errors.New("the path is too long for a socket")
	errAddrSeveral   = errors.New("the address names several sockets; Server.ListenAndServe serves them all")
	errNotSocket     = errors.New("there is something that is not a socket; it was left alone")
	errNotListening  = errors.New("not a listening stream socket")
	errNotActivated  = errors.New("no sockets were passed by systemd")
	errSocketUnknown = errors.New("systemd passed no socket of this name")
	errSocketTaken   = errors.New("the socket is already taken")
)

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
// (each a name or a number; left as they come if not given) before anyone can
// connect. A dead server's socket is replaced; one that is alive, or might be,
// gives an error that is syscall.EADDRINUSE; a file that is not a socket is
// never touched. Close removes the file unless someone else has put another in
// its place. A path can't hold a "?", and its folder must be writable and short
// (89 bytes on Linux). Abstract sockets are refused. Options are an error on
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
	ls, err := listenAll(addr)
	if err != nil {
		return nil, err
	}
	if len(ls) > 1 {
		closeAll(ls)
		return nil, addrError(addr, errAddrSeveral)
	}
	return ls[0], nil
}

// listenAll opens every listener that addr names, one or more.
func listenAll(addr string) ([]net.Listener, error) {
	if addr == "" {
		addr = DefaultAddr
	}
	ls, err := listenScheme(addr)
	if err != nil {
		return nil, addrError(addr, err)
	}
	return ls, nil
}

func addrError(addr string, err error) error {
	return fmt.Errorf("scgi: listen on %.200q: %w", addr, err)
}

func listenScheme(addr string) ([]net.Listener, error) {
	var l net.Listener
	var err error
	scheme, rest, colon := strings.Cut(addr, ":")
	switch {
	case colon && scheme == "systemd":
		return listenSystemd(rest)
	case colon && scheme == "unix":
		l, err = listenUnix(rest)
	case colon && scheme == "fd":
		l, err = listenFD(rest)
	default:
		l, err = listenTCP(addr)
	}
	return []net.Listener{l}, err
}

func listenTCP(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errAddrSyntax, err)
	case port == "":
		return nil, errAddrSyntax
	case host == "":
		return nil, wildcardError(port)
	}
	network := "tcp"
	if host == "0.0.0.0" {
		network = "tcp4" // on "tcp", net takes it for [::] as well
	}
	tcp, err := net.ResolveTCPAddr(network, addr)
	if err != nil {
		return nil, err
	}
	if tcp.IP.IsUnspecified() && host != "0.0.0.0" && host != "::" {
		return nil, wildcardError(port) // "0" or a name that resolves so
	}
	l, err := net.ListenTCP(network, tcp)
	if err != nil {
		return nil, err
	}
	return &listener{socket: l}, nil
}

func wildcardError(port string) error {
	return fmt.Errorf(`%w: "0.0.0.0:%s" or "[::]:%[2]s"`, errAddrWildcard, port)
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		l.Close()
	}
}

// socket is what *net.TCPListener and *net.UnixListener have in common.
type socket interface {
	net.Listener
	SetDeadline(time.Time) error
	SyscallConn() (syscall.RawConn, error)
	File() (*os.File, error)
}

// listener is a socket that this package opened, and so may do more with than
// with net's own.
type listener struct {
	socket

	path string      // of the file to unlink; "" if there is none of ours
	file os.FileInfo // of the file as it was bound

	unlink sync.Once

	mu sync.Mutex

	// inherited says that someone else holds the socket too: connections
	// that wait in its backlog are answered by a successor, who needs its file.
	inherited bool

	waiter *os.File // a copy of the descriptor, to wait on; nil until asked for
	closed bool
}

// unwrap returns the *net.TCPListener or *net.UnixListener.
func (l *listener) unwrap() net.Listener { return l.socket }

// Addr returns the address that peers connect to. The kernel knows a unix
// socket by the name it was bound to, which is a temporary one.
func (l *listener) Addr() net.Addr {
	if l.path != "" {
		return &net.UnixAddr{Name: l.path, Net: "unix"}
	}
	return l.socket.Addr()
}

// SetInherited says whether someone else holds the socket too. Package restart
// calls it when the socket has a new owner.
func (l *listener) SetInherited(inherited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inherited = inherited
}

func (l *listener) isInherited() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inherited
}

// SetAddr tells an inherited socket the address that it was opened with, before
// anyone else has l. Package restart calls it.
func (l *listener) SetAddr(addr string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		l.path, _, _ = strings.Cut(path, "?")
		l.file, _ = os.Lstat(l.path)
	}
}

// waitable returns a copy of the socket that can be waited on without
// accepting, which net's own can't. It shares deadlines and end with l.
func (l *listener) waitable() (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	var err error
	if l.waiter == nil {
		l.waiter, err = l.File()
	}
	return l.waiter, err
}

func (l *listener) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiter != nil && !l.closed {
		if err := l.waiter.SetDeadline(t); err != nil {
			return err
		}
	}
	return l.socket.SetDeadline(t)
}

// Close unlinks the file first: as long as the socket is open, its inode can't
// be given to another file, and nobody takes it for a dead one.
func (l *listener) Close() error {
	l.unlink.Do(l.removeFile)
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.socket.Close()
	if l.waiter != nil && !l.closed {
		_ = l.waiter.Close()
	}
	l.closed = true
	return err
}

func (l *listener) removeFile() {
	if l.path != "" && !l.isInherited() && isFile(l.path, l.file) {
		os.Remove(l.path) // a file left behind is stale, and replaced by the next Listen
	}
}

// isFile reports whether path still is the very file that was seen before.
func isFile(path string, file os.FileInfo) bool {
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(now, file)
}
