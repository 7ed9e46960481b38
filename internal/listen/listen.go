// Package listen opens listeners by address: TCP, unix sockets as files with a
// mode and an owner, and sockets that the process has inherited.
package listen

// listen.go parses addresses. An address spells out what it opens: one that could open
// more than its writer meant is an error.

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// Each reason for refusing an address has an error of its own.
var (
	errAddrSyntax    = errors.New(`want "host:port", "unix:/path", "fd:number" or "systemd:name"`)
	errAddrWildcard  = errors.New("this would listen on every interface; if you want that, write it out")
	errAddrAbstract  = errors.New(`no file mode protects an abstract socket; for a file of that name, write "unix:./@name"`)
	errAddrOption    = errors.New("bad option")
	errAddrLong      = errors.New("the path is too long for a socket")
	errAddrSeveral   = errors.New("the address names several sockets; Server.ListenAndServe serves them all")
	errNotSocket     = errors.New("the path is taken by a file that is not a socket")
	errNotListening  = errors.New("not a listening stream socket")
	errNotActivated  = errors.New("no sockets were passed by systemd")
	errSocketUnknown = errors.New("systemd passed no socket of this name")
	errSocketTaken   = errors.New("the socket is already taken")
)

// One opens the listener that addr names. An address that names several is an
// error. The grammar is that of scgi.Listen.
func One(addr string) (net.Listener, error) {
	ls, err := All(addr)
	if err != nil {
		return nil, err
	}
	if len(ls) > 1 {
		closeAll(ls)
		return nil, addrError(addr, errAddrSeveral)
	}
	return ls[0], nil
}

// All opens every listener that addr names. Without an error there is at least one.
func All(addr string) ([]*Listener, error) {
	ls, err := open(addr)
	if err != nil {
		return nil, addrError(addr, err)
	}
	return ls, nil
}

func addrError(addr string, err error) error {
	return fmt.Errorf("scgi: listen on %.200q: %w", addr, err)
}

func open(addr string) ([]*Listener, error) {
	var l *Listener
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
	return []*Listener{l}, err
}

func listenTCP(addr string) (*Listener, error) {
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
		network = "tcp4" // with "tcp", package net listens on [::] as well
	}
	tcp, err := net.ResolveTCPAddr(network, addr)
	if err != nil {
		return nil, err
	}
	if tcp.IP.IsUnspecified() && host != "0.0.0.0" && host != "::" {
		return nil, wildcardError(port) // "0", or a name that resolves to it
	}
	l, err := net.ListenTCP(network, tcp)
	if err != nil {
		return nil, err
	}
	return &Listener{socket: l, bound: true}, nil
}

func wildcardError(port string) error {
	return fmt.Errorf(`%w: "0.0.0.0:%s" or "[::]:%[2]s"`, errAddrWildcard, port)
}

func closeAll(ls []*Listener) {
	for _, l := range ls {
		l.Close()
	}
}
