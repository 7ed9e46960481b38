package socket_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/internal/scgitest"
	"example.com/scgi/internal/socket"
)

// patience is how long a test waits for something that must happen soon.
const patience = 30 * time.Second

// kinds are the kinds of connection. Those with "portable" in their name are package net's.
var kinds = []string{"unix", "tcp", "unix portable", "tcp portable"}

func onEachKind(t *testing.T, f func(t *testing.T, kind string)) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) { f(t, kind) })
	}
}

// open returns a listener of package listen, or of package net if kind is portable.
func open(t *testing.T, kind string) net.Listener {
	t.Helper()
	l := scgitest.Listen(t, strings.Replace(kind, "portable", "net", 1))
	t.Cleanup(func() { l.Close() })
	return l
}

// connect returns an accepted connection of the kind, and its peer.
func connect(t *testing.T, kind string, timeouts *socket.Timeouts) (c *socket.Conn, peer net.Conn) {
	t.Helper()
	return connectTo(t, open(t, kind), timeouts)
}

func connectTo(t *testing.T, l net.Listener, timeouts *socket.Timeouts) (c *socket.Conn, peer net.Conn) {
	t.Helper()
	peer, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	peer.SetDeadline(time.Now().Add(patience))
	if peer, ok := peer.(*net.TCPConn); ok {
		peer.SetReadBuffer(32 << 10) // so that a reply waits for its reader
	}
	c = new(socket.Conn)
	if err := socket.NewAcceptor(l, timeouts).Accept(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, peer
}

// soon calls f and fails the test if it does not return.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s does not return", what)
	}
}

// Errors are those of package net's connections.
func TestErrorsMatchPackageNet(t *testing.T) {
	onEachKind(t, func(t *testing.T, kind string) {
		network, _, _ := strings.Cut(kind, " ")
		check := func(what, op string, err, want error) {
			t.Helper()
			var e *net.OpError
			if !errors.As(err, &e) || e.Op != op || e.Net != network || !errors.Is(err, want) {
				t.Errorf("%s: %#v, want a *net.OpError of %q with %v", what, err, op, want)
				return
			}
			var call *os.SyscallError
			if _, isErrno := want.(syscall.Errno); isErrno && !errors.As(err, &call) {
				t.Errorf("%s: %v has no *os.SyscallError", what, err)
			}
		}
		c, peer := connect(t, kind, &socket.Timeouts{Read: time.Millisecond, Write: time.Millisecond})
		_, err := c.Read(make([]byte, 1))
		check("read without input", "read", err, os.ErrDeadlineExceeded)
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
		for err = nil; err == nil; {
			_, err = c.Write(make([]byte, 1<<20), nil)
		}
		check("write to a peer that does not read", "write", err, os.ErrDeadlineExceeded)
		peer.Close() // a reset, since it has unread input
		for errors.Is(err, os.ErrDeadlineExceeded) {
			_, err = c.Write([]byte("x"), nil)
		}
		gone := syscall.EPIPE
		if errors.Is(err, syscall.ECONNRESET) {
			gone = syscall.ECONNRESET
		}
		check("write to a peer that is gone", "write", err, gone)
		c.Close()
		if _, err = c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
		if _, err = c.Write([]byte("x"), nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after Close: %v", err)
		}
		check("a deadline after Close", "set", c.SetReadDeadline(time.Now()), net.ErrClosed)
		check("a second Close", "close", c.Close(), net.ErrClosed)
	})
}

// A peer that reads slowly is not cut off, however long the kernel takes to accept more of
// the reply.
func TestSlowReaderIsNotCut(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"unix", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c, peer := connect(t, kind, &socket.Timeouts{Write: time.Second})
			failed := make(chan error, 1)
			go func() {
				_, err := c.Write(make([]byte, 64<<20), nil)
				failed <- err
			}()
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for range 40 { // 80 KB/s
				if _, err := io.ReadFull(peer, make([]byte, 8<<10)); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-failed:
					t.Fatalf("the write failed: %v", err)
				case <-tick.C:
				}
			}
			peer.Close()
			<-failed
		})
	}
}

// A peer that takes nothing for Timeouts.Write is cut off, and Write returns how much was
// sent until then.
func TestStalledReaderIsCut(t *testing.T) {
	onEachKind(t, func(t *testing.T, kind string) {
		c, peer := connect(t, kind, &socket.Timeouts{Write: 50 * time.Millisecond})
		sent, err := c.Write(make([]byte, 64<<20), make([]byte, 10))
		if !errors.Is(err, os.ErrDeadlineExceeded) || sent == 0 || sent >= 64<<20 {
			t.Fatalf("%d bytes, %v", sent, err)
		}
		if got, err := io.CopyN(io.Discard, peer, int64(sent)); err != nil {
			t.Errorf("%d of %d bytes arrive, %v", got, sent, err)
		}
		c.Close()
		if n, _ := io.Copy(io.Discard, peer); n != 0 {
			t.Errorf("%d more bytes arrive", n)
		}
	})
}

// A peer can't mistake an aborted reply for a whole one.
func TestAbortShowsTruncation(t *testing.T) {
	onEachKind(t, func(t *testing.T, kind string) {
		c, peer := connect(t, kind, &socket.Timeouts{})
		io.WriteString(peer, "not read")
		if _, err := c.Write([]byte("half"), nil); err != nil {
			t.Fatal(err)
		}
		c.Abort()
		if got, err := io.ReadAll(peer); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the peer reads %q, %v", got, err)
		}
	})
}

// Abort after Linger changes nothing: the reply was whole.
func TestAbortAfterLinger(t *testing.T) {
	onEachKind(t, func(t *testing.T, kind string) {
		c, peer := connect(t, kind, &socket.Timeouts{})
		c.Write([]byte("whole"), nil)
		go func() {
			c.Linger()
			c.Close()
		}()
		got := make([]byte, 5)
		io.ReadFull(peer, got)
		if n, err := peer.Read(got); n != 0 || err != io.EOF {
			t.Fatalf("%d, %v", n, err)
		}
		c.Abort()
		if n, err := peer.Read(got); n != 0 || err != io.EOF {
			t.Errorf("after Abort: %d, %v", n, err)
		}
	})
}

// Detach ends the dropping of input for a stalled reply: the new owner gets all input that
// arrives from then on.
func TestDetachStopsDroppingInput(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c, peer := connect(t, kind, &socket.Timeouts{})
			io.WriteString(peer, "request")
			written := make(chan error, 1)
			go func() {
				_, err := c.Write(make([]byte, 16<<20), nil)
				written <- err
			}()
			for !c.Empty() { // after a second without progress
				time.Sleep(time.Millisecond)
			}
			if _, err := c.Read(make([]byte, 1)); err != socket.ErrDropped {
				t.Errorf("Read: %v", err)
			}
			if _, err := io.CopyN(io.Discard, peer, 16<<20); err != nil {
				t.Fatal(err)
			}
			if err := <-written; err != nil {
				t.Fatal(err)
			}
			conn, input, err := c.Detach()
			if err != nil || len(input) != 0 {
				t.Fatalf("Detach: %q, %v", input, err)
			}
			defer conn.Close()
			conn.SetReadDeadline(time.Now().Add(patience))
			io.WriteString(peer, "tunnel")
			got := make([]byte, 6)
			if _, err := io.ReadFull(conn, got); string(got) != "tunnel" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// A detached connection has every method of package net's type.
func TestDetach(t *testing.T) {
	onEachKind(t, func(t *testing.T, kind string) {
		c, peer := connect(t, kind, &socket.Timeouts{})
		conn, _, err := c.Detach()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		switch conn.(type) {
		case *net.TCPConn, *net.UnixConn:
		default:
			t.Errorf("it is a %T", conn)
		}
		c.Abort() // does not affect conn any more
		io.WriteString(conn, "tunnel")
		got := make([]byte, 6)
		if _, err := io.ReadFull(peer, got); string(got) != "tunnel" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// slowListener is a listener whose deadline passes before it looks at its backlog, as may
// happen on a busy machine.
type slowListener struct {
	*net.TCPListener
	slow int
}

func (l *slowListener) Accept() (net.Conn, error) {
	if l.slow--; l.slow >= 0 {
		time.Sleep(200 * time.Millisecond)
	}
	return l.TCPListener.Accept()
}

// Backlog finds a queued connection even if the first look comes too late.
func TestBacklogRetriesLateAccept(t *testing.T) {
	l := &slowListener{open(t, "tcp portable").(*net.TCPListener), 1}
	a := socket.NewAcceptor(l, &socket.Timeouts{})
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	a.Interrupt(false)
	var c socket.Conn
	if err := a.Backlog(&c); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := a.Backlog(&c); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an empty backlog: %v", err)
	}
}

func TestIsTemporary(t *testing.T) {
	for _, err := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO, syscall.EPERM,
		// accept(2): "treat them like EAGAIN by retrying"
		syscall.ENETDOWN, syscall.ENOPROTOOPT, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.EOPNOTSUPP, syscall.ENETUNREACH,
	} {
		if err := (&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}); !socket.IsTemporary(err) {
			t.Errorf("%v is not temporary", err)
		}
	}
	for _, err := range []error{syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK, net.ErrClosed, io.EOF} {
		if socket.IsTemporary(err) {
			t.Errorf("%v is temporary", err)
		}
	}
}
