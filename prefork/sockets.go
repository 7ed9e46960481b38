package prefork

// sockets.go owns the sockets that a Program names, and how a parent holds them:
// open from its start to its end, whatever becomes of the children.

import (
	"errors"
	"net"
	"strings"

	"example.com/scgi/internal/listen"
)

var errFrontEnd = errors.New("prefork: inside Chroot, HTTPAddr can't reach a unix socket: serve TCP, or no HTTP")

// opened are the listeners that a Program names.
type opened struct {
	scgi []*listen.Listener
	http *listen.Listener // nil: none
}

// openListeners opens Addr, and HTTPAddr if there is one: both or, with an error,
// none.
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

// all are those for SCGI, and then the one for HTTP.
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

// names are the addresses as they were opened: for OnReady.
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

// back is where the front end finds the server.
func (o *opened) back() string { return dialable(o.scgi[0].Addr()) }

// sockets are a parent's: bare descriptors.
type sockets struct {
	legacy
	name, httpName string   // for OnReady
	fds            []int    // in the order in which children get them
	remove         []func() // the files of unix sockets
}

// openSockets opens what s names.
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

// lastCommand is what children are told when all are to end. What waits in a
// supervisor's socket is for the program's next start.
func (k *sockets) lastCommand() byte {
	if k.Bound {
		return endLast
	}
	return endShared
}

// isForeign reports whether the sockets of addr are a supervisor's.
func isForeign(addr string) bool {
	return strings.HasPrefix(addr, "fd:") || strings.HasPrefix(addr, "systemd:")
}

// dialable is the address, in the grammar of scgi.Listen, at which a listener is
// reached from here.
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
