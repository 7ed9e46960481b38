package socket_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/internal/listen"
	"example.com/scgi/internal/socket"
)

// inherited is a listener whose options another program relies on.
type inherited struct{ *listen.Listener }

func (inherited) IsBound() bool { return false }

func listenTCP(t *testing.T) *listen.Listener {
	return open(t, "tcp").(*listen.Listener)
}

func dialTo(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

func option(t *testing.T, c syscall.Conn, level, name int) (value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { value, err = syscall.GetsockoptInt(int(fd), level, name) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return value
}

// The Acceptor sets options on listeners that Listen bound, and on no others. Connections
// have package net's options either way.
func TestAcceptorSetsOptionsOnBoundListeners(t *testing.T) {
	for _, bound := range []bool{true, false} {
		t.Run(fmt.Sprint("bound=", bound), func(t *testing.T) {
			l := listenTCP(t)
			was := [3]int{}
			read := func() (now [3]int) {
				return [3]int{
					option(t, l, syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT),
					option(t, l, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE),
					option(t, l, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE),
				}
			}
			was = read()
			var accepting net.Listener = l
			if !bound {
				accepting = inherited{l}
			}
			a := socket.NewAcceptor(accepting, &socket.Timeouts{})
			t.Cleanup(a.Close)
			if now := read(); (now == was) == bound {
				t.Errorf("the listener's options were %v and are %v", was, now)
			}
			peer := dialTo(t, l)
			io.WriteString(peer, "x")
			var c socket.Conn
			if err := a.Accept(&c); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conn := c.NetConn().(syscall.Conn)
			if option(t, conn, syscall.IPPROTO_TCP, syscall.TCP_NODELAY) != 1 || option(t, conn, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE) != 1 ||
				option(t, conn, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE) != 15 {
				t.Error("the connection lacks an option")
			}
		})
	}
}

// After Interrupt, a connection that the kernel holds back is handed out at the latest
// when the kernel repeats its SYN-ACK. Backlog ends with the last one.
func TestBacklogWaitsForDeferred(t *testing.T) {
	l := listenTCP(t)
	a := socket.NewAcceptor(l, &socket.Timeouts{})
	t.Cleanup(a.Close)
	const n = 5
	var peers []net.Conn
	for range n {
		peers = append(peers, dialTo(t, l))
	}
	began := time.Now()
	a.Interrupt(false)
	if n := option(t, l, syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT); n != 0 {
		t.Errorf("new connections are held back for %d s", n)
	}
	io.WriteString(peers[0], "x")
	for i := range n {
		var c socket.Conn
		if err := a.Backlog(&c); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		c.Close()
	}
	var c socket.Conn
	if err := a.Backlog(&c); err == nil || time.Since(began) > patience {
		t.Errorf("Backlog ended with %v after %v", err, time.Since(began))
	}
}

// A process that ends leaves the option on for the processes that keep the socket.
func TestInterruptKeepsDeferForSiblings(t *testing.T) {
	l := listenTCP(t)
	a := socket.NewAcceptor(l, &socket.Timeouts{})
	t.Cleanup(a.Close)
	l.SetInherited(true)
	a.Interrupt(false)
	if option(t, l, syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT) == 0 {
		t.Error("TCP_DEFER_ACCEPT was cleared")
	}
}

// Backlog does not wait if the kernel holds nothing back, nor after a cut.
func TestBacklogEndsAtOnce(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		a := socket.NewAcceptor(open(t, network), &socket.Timeouts{})
		t.Cleanup(a.Close)
		began := time.Now()
		a.Interrupt(false)
		if err := a.Backlog(new(socket.Conn)); !errors.Is(err, syscall.EAGAIN) || time.Since(began) > time.Second {
			t.Errorf("%s: Backlog ended with %v after %v", network, err, time.Since(began))
		}
	}
	l := listenTCP(t)
	a := socket.NewAcceptor(l, &socket.Timeouts{})
	t.Cleanup(a.Close)
	dialTo(t, l)
	began := time.Now()
	a.Interrupt(false)
	ended := make(chan error)
	go func() { ended <- a.Backlog(new(socket.Conn)) }()
	a.Interrupt(true)
	if err := <-ended; !errors.Is(err, syscall.EAGAIN) || time.Since(began) > time.Second {
		t.Errorf("after a cut: %v after %v", err, time.Since(began))
	}
}

func TestIsTemporaryOnLinux(t *testing.T) {
	if !socket.IsTemporary(&net.OpError{Op: "accept", Err: syscall.ENONET}) {
		t.Error("ENONET is not temporary")
	}
}
