package gateway

// slow_linux_test.go tests servers that read a request slowly. Only Linux reports their
// progress.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"example.com/scgi/internal/leak"
	"example.com/scgi/internal/socket"
)

// hastyConn is a connection whose timeouts are a millisecond. It calls onTimeout after each
// timeout.
type hastyConn struct {
	net.Conn
	onTimeout func()
}

func (c *hastyConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

func (c *hastyConn) SetWriteDeadline(time.Time) error {
	return c.Conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
}

func (c *hastyConn) SetReadDeadline(time.Time) error {
	return c.Conn.SetReadDeadline(time.Now().Add(time.Millisecond))
}

// Write ignores a timeout while the send queue is empty: on a busy machine the timeout may
// expire before the write begins.
func (c *hastyConn) Write(p []byte) (n int, err error) {
	for {
		n, err = c.Conn.Write(p)
		if queue, _ := socket.Unsent(c.Conn); queue > 0 || n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		_ = c.SetWriteDeadline(time.Time{})
	}
	c.see(err)
	return n, err
}

func (c *hastyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.see(err)
	return n, err
}

func (c *hastyConn) see(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.onTimeout()
	}
}

// buffered is a connection whose kernel buffers can be made smaller than a request.
type buffered interface {
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

// counting is an endless body whose parts differ. It checks what is written to it against
// what it produces.
type counting struct {
	n     int
	wrong bool
}

func (c *counting) next() byte {
	c.n++
	return byte(c.n % 251)
}

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.next()
	}
	return len(p), nil
}

func (c *counting) Write(p []byte) (int, error) {
	for _, b := range p {
		c.wrong = b != c.next() || c.wrong
	}
	return len(p), nil
}

// The Transport waits for a server that reads a little within each timeout until the server
// answers. It gives up on a server that stops reading.
func TestTransportSlowServer(t *testing.T) {
	const size = 8 << 20
	for _, network := range []string{"tcp", "unix"} {
		for name, most := range map[string]int{"to the end": size, "then not": size / 2, "from the start not": 0} {
			t.Run(network+" "+name, func(t *testing.T) {
				leak.Goroutines(t)
				take, took := make(chan struct{}), make(chan int) // a request to read some; the number of bytes read
				addr := fakeServer(t, network, func(c *fakeConn) {
					_ = c.Conn.(buffered).SetReadBuffer(64 << 10)
					c.header()
					var body counting
					for left := size; ; {
						if _, ok := <-take; !ok {
							return
						}
						_ = c.Conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) // there may be less than that to read
						n, _ := io.CopyN(&body, c.in, int64(min(left, 64<<10)))
						if left -= int(n); left == 0 {
							c.send(fmt.Sprintf("Status: 201\nX-Wrong: %t\n\n", body.wrong))
						}
						took <- int(n)
					}
				})
				asked := 0
				dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, network, addr)
					if err == nil {
						err = c.(buffered).SetWriteBuffer(64 << 10)
					}
					return &hastyConn{c, func() {
						before, _ := socket.Unsent(c)
						// The server reads the rest at once: bytes that only its kernel
						// holds show no progress.
						for now, n := before, 1; asked < most && n > 0 && (now == before || now == 0); now, _ = socket.Unsent(c) {
							take <- struct{}{}
							n = <-took
							asked += n
						}
					}}, err
				}
				req, _ := postFrom(t.Context(), io.LimitReader(&counting{}, size), size)
				resp, err := (&Transport{Addr: addr, DialContext: dial}).RoundTrip(req)
				close(take)
				switch {
				case most == size && (err != nil || resp.StatusCode != 201 || resp.Header.Get("X-Wrong") != "false"):
					t.Errorf("after %d of %d bytes: %v, %v", asked, size, resp, err)
				case most < size && (!errors.Is(err, os.ErrDeadlineExceeded) || asked < most):
					t.Errorf("after %d of %d bytes: %v", asked, most, err)
				}
				if err == nil {
					resp.Body.Close()
				}
			})
		}
	}
}
