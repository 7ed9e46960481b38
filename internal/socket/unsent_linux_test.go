package socket

import (
	"io"
	"net"
	"os"
	"testing"
)

// Unsent grows with what is written, and shrinks only as the peer reads.
func TestUnsent(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			c, peer := connected(t, network)
			if n, ok := Unsent(c); n != 0 || !ok {
				t.Errorf("before the first byte: %d, %t", n, ok)
			}
			// More than the peer's kernel takes while the peer doesn't read.
			written := make(chan error, 1)
			const size = 16 << 20
			go func() { _, err := c.Write(make([]byte, size)); written <- err }()
			if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			for n := 0; n == 0; n, _ = Unsent(c) {
			}
			if _, err := io.CopyN(io.Discard, peer, size-1); err != nil {
				t.Fatal(err)
			}
			if err := <-written; err != nil {
				t.Fatal(err)
			}
			for n := 1; n != 0; n, _ = Unsent(c) { // the acknowledgment may be delayed
			}
			c.Close()
			if n, ok := Unsent(c); ok {
				t.Errorf("a closed connection has %d unsent bytes", n)
			}
		})
	}
	a, _ := net.Pipe()
	if n, ok := Unsent(a); ok {
		t.Errorf("a pipe has %d unsent bytes", n)
	}
}

// connected returns both ends of a connection.
func connected(t *testing.T, network string) (c, peer net.Conn) {
	addr := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "scgi")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		addr = dir + "/s"
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if c, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); peer.Close() })
	return c, peer
}
