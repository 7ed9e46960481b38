package scgi

// listen.go owns Listen, the door to package internal/listen.

import (
	"cmp"
	"net"

	sockets "example.com/scgi/internal/listen" // the tests have a function called listen
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
	l, err := sockets.One(cmp.Or(addr, DefaultAddr))
	if err != nil {
		return nil, err
	}
	return l, nil
}

// listenAll opens every listener that addr names: at least one, or an error.
func listenAll(addr string) ([]net.Listener, error) {
	ls, err := sockets.All(cmp.Or(addr, DefaultAddr))
	if err != nil {
		return nil, err
	}
	all := make([]net.Listener, len(ls))
	for i, l := range ls {
		all[i] = l
	}
	return all, nil
}
