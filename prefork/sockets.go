package prefork

// sockets.go opens the sockets of a Program. A parent holds them open from its
// start to its end, whatever happens to its children.

import (
	"errors"
	"net"
	"strings"

	"example.com/scgi/internal/listen"
)

var errFrontEnd = errors.New("prefork: with Chroot, HTTPAddr needs a TCP Addr: a unix socket is out of reach")

// opened is the listeners of a Program.
type opened struct {
	scgi []*listen.Listener
	http *listen.Listener // nil: no HTTP
}

// openListeners opens Addr and, if set, HTTPAddr. It opens both or returns an
// error.
func openListeners(s *settings) (*opened, error) {
	scgi, err := listen.All(s.Addr)
	if err != nil {
		return nil, err
	}
	o := &opened{scgi: scgi}
	if s.HTTPAddr == "" {
		return o, nil
	}
	if s.Chroot != "" && scgi[0].Addr().Network() == "unix" {
		o.close()
		return nil, errFrontEnd
	}
	l, err := net.Listen("tcp", s.HTTPAddr)
	if err != nil {
		o.close()
		return nil, err
	}
	o.http = listen.Wrap(l.(*net.TCPListener))
	return o, nil
}

// all returns the SCGI listeners, and then the HTTP one.
func (o *opened) all() []*listen.Listener {
	if o.http == nil {
		return o.scgi
	}
	return append(o.scgi[:len(o.scgi):len(o.scgi)], o.http)
}

func (o *opened) close() {
	for _, l := range o.all() {
		_ = l.Close()
	}
}

// names returns the addresses for OnReady.
func (o *opened) names(s *settings) (addr, httpAddr string) {
	addr = s.Addr
	if a := o.scgi[0].Addr(); len(o.scgi) == 1 {
		addr = a.String()
		if a.Network() == "unix" {
			addr = "unix:" + addr
		}
	}
	if o.http != nil {
		httpAddr = dialable(o.http.Addr())
	}
	return addr, httpAddr
}

// back returns the address at which the front end reaches the server.
func (o *opened) back() string { return dialable(o.scgi[0].Addr()) }

// sockets holds a parent's sockets as bare descriptors.
type sockets struct {
	legacy
	name, httpName string   // for OnReady
	fds            []int    // in the order in which children get them
	remove         []func() // remove the files of unix sockets
}

// openSockets opens the sockets of s.
func openSockets(s *settings) (*sockets, error) {
	o, err := openListeners(s)
	if err != nil {
		return nil, err
	}
	k := new(sockets)
	k.Addr, k.HTTPAddr, k.Bound = s.Addr, s.HTTPAddr, !isForeign(s.Addr)
	k.Sockets, k.Back = len(o.scgi), o.back()
	k.name, k.httpName = o.names(s)
	for _, l := range o.all() {
		fd, remove, err := l.Release()
		if err != nil {
			o.close()
			k.close()
			return nil, err
		}
		k.fds, k.remove = append(k.fds, fd), append(k.remove, remove)
	}
	return k, nil
}

// close is idempotent.
func (k *sockets) close() {
	for i, fd := range k.fds {
		k.remove[i]()
		closeFD(fd)
	}
	k.fds, k.remove = nil, nil
}

// lastCommand returns the command for children when the whole program stops.
// Connections in a supervisor's socket are left for the program's next start.
func (k *sockets) lastCommand() byte {
	if k.Bound {
		return endLast
	}
	return endShared
}

// isForeign reports whether a supervisor holds the sockets of addr.
func isForeign(addr string) bool {
	return strings.HasPrefix(addr, "fd:") || strings.HasPrefix(addr, "systemd:")
}

// dialable returns the address, in the grammar of scgi.Listen, at which this host
// reaches a listener.
func dialable(a net.Addr) string {
	switch a := a.(type) {
	case *net.UnixAddr:
		return "unix:" + a.Name
	case *net.TCPAddr:
		if a.IP.IsUnspecified() {
			loopback := net.IPv6loopback
			if a.IP.To4() != nil {
				loopback = net.IPv4(127, 0, 0, 1)
			}
			return (&net.TCPAddr{IP: loopback, Port: a.Port}).String()
		}
	}
	return a.String()
}
