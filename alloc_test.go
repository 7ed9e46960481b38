//go:build linux && !race

package scgi

// alloc_test.go bounds the allocations of an exchange, and the memory of a silent
// connection. The client makes plain system calls on a buffer of its own, so that only the
// server allocates. The race detector also allocates, and on other systems so does accepting
// through package net.

import (
	"context"
	"io"
	"runtime"
	"syscall"
	"testing"

	"example.com/scgi/internal/scgitest"
	"example.com/scgi/internal/socket"
)

// The server allocates only what a handler may keep: the connection, the exchange, and the
// bytes of the request. It recycles the rest.
func TestAllocations(t *testing.T) {
	for level, most := range map[string]float64{
		"native":  3,
		"produce": 3,
		"http":    12,
	} {
		t.Run(level, func(t *testing.T) {
			if n := exchangeAllocs(t, levels()[level]); n > most {
				t.Errorf("an exchange allocates %v times, want at most %v", n, most)
			}
		})
	}
}

// exchangeAllocs returns the number of allocations from an accepted connection to its end.
func exchangeAllocs(t *testing.T, h Handler) float64 {
	s := &Server{Handler: h}
	s.init()
	t.Cleanup(func() { s.Close() })
	l := scgitest.Listen(t, "unix")
	a := socket.NewAcceptor(l, &s.timeouts)
	t.Cleanup(a.Close)
	request := appendNetstring(nil, typical.block)
	var buf, reply [scratchSize]byte
	base := context.Background()
	addr := &syscall.SockaddrUnix{Name: l.Addr().String()}
	return testing.AllocsPerRun(300, func() {
		client := connect(t, addr)
		defer syscall.Close(client)
		if _, err := syscall.Write(client, request); err != nil {
			t.Fatal(err)
		}
		c := &conn{srv: s, base: base}
		if err := a.TryAccept(&c.Conn); err != nil {
			t.Fatal(err)
		}
		s.track(c)
		if !s.greet(c, buf[:]) {
			t.Fatal("the request did not arrive")
		}
		if n, err := readAll(client, reply[:]); err != nil || string(reply[:12]) != "Status: 200 " {
			t.Fatalf("%q, %v", reply[:n], err)
		}
	})
}

func connect(t *testing.T, addr syscall.Sockaddr) (client int) {
	client, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Connect(client, addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func readAll(fd int, p []byte) (n int, err error) {
	for n < len(p) {
		k, err := syscall.Read(fd, p[n:])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return n, err
		case k == 0:
			return n, nil
		default:
			n += k
		}
	}
	return n, io.ErrShortBuffer
}

// The goroutine of a connection that says nothing keeps to the stack of 2 KiB that it
// starts with, which is most of what such a connection costs.
func TestStackOfSilentConnections(t *testing.T) {
	const peers, most = 500, 3 << 10
	l := scgitest.Listen(t, "unix")
	s := &Server{}
	scgitest.Serve(t, s, l, ErrServerClosed)
	scgitest.Ask(t, l.Addr(), scgitest.Get("/"))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range peers {
		scgitest.Dial(t, l.Addr())
		for s.Stats().Reading <= int64(i) {
			runtime.Gosched()
		}
	}
	runtime.ReadMemStats(&after)
	if cost := (int64(after.StackInuse) - int64(before.StackInuse)) / peers; cost > most {
		t.Errorf("the stack of a connection has %d bytes, want at most %d", cost, most)
	}
}
