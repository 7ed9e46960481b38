package prefork

import (
	"net"
	"testing"
)

func TestDialable(t *testing.T) {
	for want, addr := range map[string]net.Addr{
		"127.0.0.1:1": &net.TCPAddr{IP: net.IPv4zero, Port: 1},
		"[::1]:2":     &net.TCPAddr{IP: net.IPv6unspecified, Port: 2},
		"10.0.0.1:3":  &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 3},
		"unix:/run/a": &net.UnixAddr{Name: "/run/a", Net: "unix"},
	} {
		if got := dialable(addr); got != want {
			t.Errorf("%v: got %q, want %q", addr, got, want)
		}
	}
}
