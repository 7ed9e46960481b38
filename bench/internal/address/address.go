// Package address defines how the benchmark's programs write an address and how a
// server announces that it is ready.
package address

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// Split returns the network and address of "unix:/path" or "host:port" for package
// net.
func Split(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp", addr
}

// Listen listens on addr. It replaces an existing socket.
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

// Announce prints l's address on a line, which tells the parent process that this
// program is ready.
func Announce(l net.Listener) {
	prefix := ""
	if l.Addr().Network() == "unix" {
		prefix = "unix:"
	}
	fmt.Println(prefix + l.Addr().String())
}
