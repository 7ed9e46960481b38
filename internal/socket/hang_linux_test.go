package socket_test

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/internal/listen"
	"example.com/scgi/internal/socket"
)

// hungFile is a file whose reads hang until it is released, as they may on a network file
// system. It is also a syscall.RawConn.
type hungFile struct {
	*os.File
	reading, release chan struct{}
}

func (f *hungFile) SyscallConn() (syscall.RawConn, error) { return f, nil }
func (f *hungFile) Control(func(uintptr)) error           { return nil }
func (f *hungFile) Write(func(uintptr) bool) error        { return nil }

func (f *hungFile) Read(func(uintptr) bool) error {
	close(f.reading)
	<-f.release
	return io.ErrUnexpectedEOF
}

// withRead hides os.File's Read from callers of hungFile.
type withRead struct {
	io.Reader
	*hungFile
}

func (f withRead) Read(p []byte) (int, error) { return f.Reader.Read(p) }

func sendHung(t *testing.T, c *socket.Conn) (f *hungFile, sent chan error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	f = &hungFile{file, make(chan struct{}), make(chan struct{})}
	sent = make(chan error, 1)
	go func() {
		_, _, err := c.SendFile(withRead{file, f}, -1)
		sent <- err
	}()
	<-f.reading
	return f, sent
}

// A read from a file that hangs delays no other call, on its own connection or on others,
// and Abort cuts the peer off at once.
func TestHungFileBlocksNoOtherCall(t *testing.T) {
	for kind, end := range map[string]error{"unix": io.EOF, "tcp": syscall.ECONNRESET} {
		t.Run(kind, func(t *testing.T) {
			c, peer := connect(t, kind, &socket.Timeouts{})
			other, otherPeer := connect(t, kind, &socket.Timeouts{})
			f, sent := sendHung(t, c)
			var w socket.Watch
			defer w.Close()
			gone := make(chan struct{})
			soon(t, "a watch", func() {
				stop, ok := w.Add(c, true, func() {})
				if !ok {
					t.Error("the connection can't be watched")
					return
				}
				w.Add(other, true, func() { close(gone) })
				stop()
			})
			otherPeer.Close()
			soon(t, "the watch over another", func() { <-gone })
			soon(t, "a deadline", func() { c.SetReadDeadline(time.Now()) })
			soon(t, "Abort", c.Abort)
			soon(t, "Close", func() { c.Close() })
			if n, err := peer.Read(make([]byte, 1)); n != 0 || !errors.Is(err, end) {
				t.Errorf("the peer reads %d, %v, want %v", n, err, end)
			}
			close(f.release)
			if err := <-sent; !errors.Is(err, net.ErrClosed) {
				t.Errorf("SendFile: %v", err)
			}
		})
	}
}

// shared is a listener that other processes hold too.
type shared struct{ *listen.Listener }

func (shared) IsBound() bool   { return false }
func (shared) HasCopies() bool { return true }

// Accept keeps working when a process that shares the socket clears O_NONBLOCK, as os/exec
// does with a socket that it passes on.
func TestAcceptWithoutNonblock(t *testing.T) {
	for _, procs := range []int{1, 2} {
		for _, kind := range []string{"unix", "tcp"} {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			l := open(t, kind).(*listen.Listener)
			a := socket.NewAcceptor(l, &socket.Timeouts{})
			pass(t, l)
			soon(t, "TryAccept", func() {
				if err := a.TryAccept(new(socket.Conn)); err != syscall.EAGAIN {
					t.Errorf("TryAccept: %v", err)
				}
			})
			for range 2 {
				accepted := make(chan error)
				go func() { accepted <- a.Accept(new(socket.Conn)) }()
				pass(t, l)
				soon(t, "the collector", runtime.GC)
				dialed, err := net.Dial(l.Addr().Network(), l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer dialed.Close()
				if err := <-accepted; err != nil {
					t.Fatal(err)
				}
			}
			pass(t, l)
			interrupted := make(chan error)
			go func() { interrupted <- a.Accept(new(socket.Conn)) }()
			a.Interrupt(false)
			soon(t, "Accept", func() {
				if err := <-interrupted; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Accept: %v", err)
				}
			})
		}
	}
}

// pass passes l to a process that exits at once.
func pass(t *testing.T, l *listen.Listener) {
	t.Helper()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.ExtraFiles = []*os.File{f}
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
}

// TryRead does not wait for the close of a lingering connection that its peer passed along.
func TestTryReadDoesNotWaitForPassedDescriptors(t *testing.T) {
	for name, l := range map[string]net.Listener{"bound": open(t, "unix"), "inherited": shared{open(t, "unix").(*listen.Listener)}} {
		c, peer := connectTo(t, l, &socket.Timeouts{})
		passLingering(t, peer.(*net.UnixConn))
		soon(t, "TryRead", func() {
			if n, err := c.TryRead(make([]byte, 10)); n != 1 || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
		})
	}
}

// A bounded number of goroutines close passed descriptors. At the bound, TryRead leaves
// the input to a reader that may wait.
func TestClosersOfPassedDescriptorsAreBounded(t *testing.T) {
	l := shared{open(t, "unix").(*listen.Listener)}
	left := 0
	for range 12 {
		c, peer := connectTo(t, l, &socket.Timeouts{})
		passLingering(t, peer.(*net.UnixConn))
		soon(t, "TryRead", func() {
			if _, err := c.TryRead(make([]byte, 10)); err == syscall.EAGAIN {
				left++
			}
		})
	}
	if left < 4 {
		t.Errorf("TryRead left %d of 12 to a reader that may wait", left)
	}
}

// passLingering sends a byte, and along with it a TCP connection whose Close would wait
// for an hour.
func passLingering(t *testing.T, to *net.UnixConn) {
	l := open(t, "tcp portable")
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tcp := c.(*net.TCPConn)
	tcp.SetLinger(3600)
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Write(func(fd uintptr) bool { // fill the connection, since nobody reads
		for {
			if _, err := syscall.Write(int(fd), make([]byte, 64<<10)); err != nil {
				return true
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	f, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := to.WriteMsgUnix([]byte("x"), syscall.UnixRights(int(f.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	f.Close()
	tcp.Close() // only the last close waits
}
