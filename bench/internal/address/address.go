// Package address is what the benchmark's programs agree on: how an address is
// written, and how a server says that it is ready.
package address

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// Split returns the network and address of "unix:/path" or "host:port", as
// package net wants them.
func Split(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp", addr
}

// Listen opens addr. A socket that a dead server left is replaced.
func Listen(addr string) (net.Listener, error) {
	network, address := Split(addr)
	if network == "unix" {
		_ = os.Remove(address)
	}
	return net.Listen(network, address)
}

// Dial connects to addr.
func Dial(addr string) (net.Conn, error) {
	network, address := Split(addr)
	return net.Dial(network, address)
}

// Announce prints l's address as a line of its own, which tells whoever started
// this program that it can be asked, and where.
func Announce(l net.Listener) {
	prefix := ""
	if l.Addr().Network() == "unix" {
		prefix = "unix:"
	}
	fmt.Println(prefix + l.Addr().String())
}
