package gateway

// transport_test.go tests the course of an exchange: both directions at once, timeouts,
// cancellation and clean ends.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi/internal/leak"
)

// zeroSource is an endless body.
type zeroSource struct{}

func (zeroSource) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// postFrom returns a request with a body of length bytes.
func postFrom(ctx context.Context, body io.Reader, length int64) (*http.Request, *sourceBody) {
	closing := newSourceBody(body)
	req, _ := http.NewRequestWithContext(ctx, "POST", "http://fe.test/", closing)
	req.ContentLength = length
	return req, closing
}

// A reply that is sent before the server has read the body arrives whole.
func TestTransportEarlyReply(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			leak.Goroutines(t)
			addr := fakeServer(t, network, func(c *fakeConn) {
				c.header()
				c.send("Status: 413\n\ntoo long")
				_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
				c.drain()
			})
			req, body := postFrom(t.Context(), zeroSource{}, 20<<20)
			resp, err := (&Transport{Addr: addr}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "too long" || resp.StatusCode != 413 {
				t.Errorf("got %d %q, %v", resp.StatusCode, b, err)
			}
			body.wantClosed(t)
		})
	}
}

// A reply arrives even if sending the request fails.
func TestTransportReplyDespiteSendError(t *testing.T) {
	leak.Goroutines(t)
	failed := make(chan struct{})
	conn := &stubConn{
		write: func([]byte) (int, error) { close(failed); return 0, syscall.EPIPE },
		reply: io.MultiReader(readerFunc(func([]byte) (int, error) { <-failed; return 0, io.EOF }), strings.NewReader("Status: 413\n\ntoo long")),
	}
	req, body := postFrom(t.Context(), zeroSource{}, 20<<20)
	resp, err := (&Transport{Addr: "x:1", DialContext: dialed(conn)}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "too long" {
		t.Errorf("got %q, %v", b, err)
	}
	body.wantClosed(t)
}

// The body is sent while the reply is being read.
func TestTransportSendsWhileReading(t *testing.T) {
	leak.Goroutines(t)
	const size = 8 << 20
	addr := fakeServer(t, "tcp", func(c *fakeConn) {
		c.header()
		c.send("\n")
		_, _ = io.CopyN(c, c.in, size)
	})
	req, _ := postFrom(t.Context(), io.LimitReader(zeroSource{}, size), size)
	resp, err := (&Transport{Addr: addr}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

// halfCloser counts calls of CloseWrite. No web server half-closes an SCGI connection.
type halfCloser struct {
	net.Conn
	closes int
}

func (c *halfCloser) CloseWrite() error {
	c.closes++
	return nil
}

func TestTransportNeverHalfCloses(t *testing.T) {
	leak.Goroutines(t)
	conn := &halfCloser{Conn: &stubConn{reply: strings.NewReader("\nx")}}
	req, _ := postFrom(t.Context(), strings.NewReader("abc"), 3)
	resp, err := (&Transport{Addr: "x:1", DialContext: dialed(conn)}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	if conn.closes != 0 {
		t.Errorf("%d half-closes", conn.closes)
	}
}

// The Transport closes the connection at the Content-Length, even if the server keeps it
// open.
func TestTransportClosesAtLength(t *testing.T) {
	leak.Goroutines(t)
	for _, raw := range []string{"Content-Length: 2\n\nab", "Content-Length: 0\n\n", "Status: 204\n\n", "Status: 304\n\n"} {
		addr := fakeServer(t, "tcp", func(c *fakeConn) {
			c.request()
			c.send(raw)
			c.drain() // until the client closes it
		})
		resp, err := (&http.Client{Transport: &Transport{Addr: addr}}).Get("http://fe.test/")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestTransportDialError(t *testing.T) {
	leak.Goroutines(t)
	addr := "unix:" + t.TempDir() + "/none"
	req, body := postFrom(t.Context(), strings.NewReader("abc"), 3)
	if _, err := (&Transport{Addr: addr}).RoundTrip(req); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
	body.wantClosed(t)
}

func TestTransportURL(t *testing.T) {
	leak.Goroutines(t)
	var vars map[string]string
	addr := fakeServer(t, "tcp", func(c *fakeConn) {
		vars, _ = c.request()
		c.send("\nx")
	})
	all := &http.Transport{}
	all.RegisterProtocol("scgi", &Transport{})
	resp, err := (&http.Client{Transport: all}).Get("scgi://" + addr + "/a?b")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "x" || err != nil || vars["REQUEST_URI"] != "/a?b" || vars["HTTP_HOST"] != addr {
		t.Errorf("got %q, %v for %v", b, err, vars)
	}
}

func TestTransportTunnel(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			leak.Goroutines(t)
			addr := fakeServer(t, network, func(c *fakeConn) {
				if vars, _ := c.request(); vars["HTTP_UPGRADE"] != "echo" || vars["HTTP_CONNECTION"] != "Upgrade" {
					t.Errorf("asked for %v", vars)
				}
				c.send("Status: 101\r\nUpgrade: echo\r\n\r\nfirst ")
				_, _ = io.Copy(c, c.in)
			})
			req, _ := http.NewRequest("GET", "http://fe.test/", nil)
			req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
			resp, err := (&Transport{Addr: addr}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != 101 || resp.Header.Get("Connection") != "Upgrade" || resp.Header.Get("Upgrade") != "echo" {
				t.Errorf("got %s, %v", resp.Status, resp.Header)
			}
			tunnel := resp.Body.(io.ReadWriteCloser)
			defer tunnel.Close()
			_, _ = io.WriteString(tunnel, "second")
			if err := tunnel.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
			if b, err := io.ReadAll(tunnel); string(b) != "first second" || err != nil {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
}

// hookConn calls onWrite before each Write.
type hookConn struct {
	net.Conn
	onWrite func() // may be nil
}

func (c *hookConn) Write(p []byte) (int, error) {
	if c.onWrite != nil {
		c.onWrite()
	}
	return c.Conn.Write(p)
}

// dialFunc is Transport.DialContext.
type dialFunc = func(context.Context, string, string) (net.Conn, error)

// A request that is cancelled at any moment fails with the cause and leaves nothing behind.
// Each row cancels at another moment. The server never replies.
func TestTransportCancel(t *testing.T) {
	over := func(script func(*fakeConn), onWrite func()) dialFunc {
		return func(ctx context.Context, _, _ string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				c := newFakeConn(t, server)
				script(c)
				<-ctx.Done()
				c.drain() // until the client closes it
			}()
			return &hookConn{client, onWrite}, nil
		}
	}
	nothing := func(*fakeConn) {}
	for name, row := range map[string]struct {
		length int64
		dial   func(cancel func()) dialFunc
		onRead bool // called when the source is read
	}{
		"before":   {1 << 20, func(cancel func()) dialFunc { cancel(); return over(nothing, nil) }, false},
		"spooling": {-1, func(func()) dialFunc { return over(nothing, nil) }, true},
		"dialing": {1 << 20, func(cancel func()) dialFunc {
			return func(ctx context.Context, _, _ string) (net.Conn, error) {
				cancel()
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}, false},
		"sending the header": {1 << 20, func(cancel func()) dialFunc { return over(nothing, cancel) }, false},
		"sending the body": {1 << 20, func(cancel func()) dialFunc {
			return over(func(c *fakeConn) { c.header(); cancel() }, nil)
		}, false},
		"waiting": {1 << 10, func(cancel func()) dialFunc {
			return over(func(c *fakeConn) { c.request(); cancel() }, nil)
		}, false},
		"reading the header": {1 << 10, func(cancel func()) dialFunc {
			return over(func(c *fakeConn) { c.request(); c.send("Status: 20"); cancel() }, nil)
		}, false},
		"reading the body": {1 << 10, func(cancel func()) dialFunc {
			return over(func(c *fakeConn) { c.request(); c.send("\nx"); cancel() }, nil)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Goroutines(t)
			ctx, cause := context.WithCancelCause(t.Context())
			cancel := func() { cause(errTest) }
			var source io.Reader = zeroSource{}
			if row.length > 0 {
				source = io.LimitReader(zeroSource{}, row.length)
			}
			req, body := postFrom(ctx, readerFunc(func(p []byte) (int, error) {
				if row.onRead {
					cancel()
					p = p[:1]
				}
				return source.Read(p)
			}), row.length)
			resp, err := (&Transport{Addr: "x:1", MaxSpoolBytes: -1, DialContext: row.dial(cancel)}).RoundTrip(req)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
			if !errors.Is(err, errTest) {
				t.Errorf("got %v, want %v", err, errTest)
			}
			body.wantClosed(t)
		})
	}
}

// A cancelled request does not wait for a body whose source is blocked.
func TestTransportCancelStuckBody(t *testing.T) {
	for name, length := range map[string]int64{"spooled": -1, "sent": 9} {
		t.Run(name, func(t *testing.T) {
			leak.Goroutines(t)
			ctx, cancel := context.WithCancel(t.Context())
			addr := fakeServer(t, "tcp", (*fakeConn).drain)
			stuck, _ := io.Pipe()
			req, _ := postFrom(ctx, nil, length)
			req.Body = struct {
				io.Reader
				io.Closer
			}{readerFunc(func(p []byte) (int, error) { cancel(); return stuck.Read(p) }), stuck}
			if _, err := (&Transport{Addr: addr}).RoundTrip(req); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
		})
	}
}

// A cancelled request closes its body even if nobody reads the reply.
func TestTransportCancelUnread(t *testing.T) {
	leak.Goroutines(t)
	ctx, cancel := context.WithCancel(t.Context())
	addr := fakeServer(t, "tcp", func(c *fakeConn) { c.header(); c.send("\n"); c.drain() })
	stuck, _ := io.Pipe()
	req, body := postFrom(ctx, stuck, 9)
	if _, err := (&Transport{Addr: addr}).RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	cancel()
	body.wantClosed(t)
	stuck.Close()
}

// Closing a reply early ends the sender and closes the connection and the source.
func TestTransportCloseEarly(t *testing.T) {
	leak.Goroutines(t)
	addr := fakeServer(t, "tcp", func(c *fakeConn) {
		c.header()
		c.send("\n" + strings.Repeat("x", 1000))
		c.drain()
	})
	req, body := postFrom(t.Context(), zeroSource{}, 1<<40)
	resp, err := (&Transport{Addr: addr}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	body.wantClosed(t)
	if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("read after Close: %v", err)
	}
}

// pipeTransport returns a Transport over a pipe to script, for a synctest bubble.
func pipeTransport(t *testing.T, script func(c *fakeConn)) *Transport {
	return &Transport{Addr: "x:1", DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			script(newFakeConn(t, server))
		}()
		return client, nil
	}}
}

// Each row has the time at which a request ends, and its error.
func TestTransportTimeouts(t *testing.T) {
	timeout := os.ErrDeadlineExceeded
	slowly := func(c *fakeConn, reply string) {
		for _, b := range []byte(reply) {
			time.Sleep(59 * time.Second)
			c.send(string(b))
		}
	}
	quick := func(r io.Reader) io.Reader { return r }
	for name, row := range map[string]struct {
		script func(c *fakeConn)
		body   func(io.Reader) io.Reader
		set    func(*Transport)
		after  time.Duration
		err    error
	}{
		"no reply":      {func(c *fakeConn) { c.request(); c.drain() }, quick, nil, time.Minute, timeout},
		"own limit":     {func(c *fakeConn) { c.request(); c.drain() }, quick, func(t *Transport) { t.ReadTimeout = time.Second }, time.Second, timeout},
		"half a header": {func(c *fakeConn) { c.request(); c.send("Status: 20"); c.drain() }, quick, nil, time.Minute, timeout},
		"half a body":   {func(c *fakeConn) { c.request(); c.send("\nab"); c.drain() }, quick, nil, time.Minute, timeout},
		"slow reply":    {func(c *fakeConn) { c.request(); slowly(c, "A: b\n\nab") }, quick, nil, 8 * 59 * time.Second, nil},
		"no limit": {func(c *fakeConn) { c.request(); time.Sleep(time.Hour); c.send("\n") }, quick,
			func(t *Transport) { t.ReadTimeout = -1 }, time.Hour, nil},
		"nothing taken":    {func(c *fakeConn) { time.Sleep(time.Hour) }, quick, func(t *Transport) { t.ReadTimeout = -1 }, time.Minute, timeout},
		"own send limit":   {func(c *fakeConn) { time.Sleep(time.Hour) }, quick, func(t *Transport) { t.WriteTimeout = time.Second }, time.Second, timeout},
		"no send limit":    {func(c *fakeConn) { time.Sleep(time.Hour); c.request(); c.send("\n") }, quick, func(t *Transport) { t.WriteTimeout = -1 }, time.Hour, nil},
		"body not taken":   {func(c *fakeConn) { c.header(); time.Sleep(time.Hour) }, quick, nil, time.Minute, timeout},
		"answered instead": {func(c *fakeConn) { c.header(); slowly(c, "\nabc") }, quick, nil, 4 * 59 * time.Second, nil},
		"slow server": {func(c *fakeConn) {
			c.header()
			for range 20 * sendChunk / 4096 { // less than one write's worth in a minute
				time.Sleep(30 * time.Second)
				_, _ = io.CopyN(io.Discard, c.in, 4096)
			}
			c.send("\n")
		}, quick, nil, 20 * sendChunk / 4096 * 30 * time.Second, nil},
		"slow source": {func(c *fakeConn) { c.request(); c.send("\n") }, func(r io.Reader) io.Reader {
			return readerFunc(func(p []byte) (int, error) {
				time.Sleep(10 * time.Minute)
				return r.Read(p[:min(len(p), sendChunk)])
			})
		}, nil, 20 * 10 * time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := pipeTransport(t, row.script)
				if row.set != nil {
					row.set(tr)
				}
				req, _ := postFrom(t.Context(), row.body(bytes.NewReader(make([]byte, 20*sendChunk))), 20*sendChunk)
				start := time.Now()
				resp, err := tr.RoundTrip(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
				}
				if took := time.Since(start).Truncate(time.Second); !errors.Is(err, row.err) || took != row.after {
					t.Errorf("after %v: %v; want %v: %v", took, err, row.after, row.err)
				}
				time.Sleep(2 * time.Hour) // lets every sleeper end
			})
		})
	}
}

// After a 101 there are no timeouts.
func TestTransportTunnelHasNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := pipeTransport(t, func(c *fakeConn) {
			c.request()
			c.send("Status: 101\nUpgrade: x\n\n")
			time.Sleep(time.Hour)
			c.send("a")
		})
		req, _ := http.NewRequest("GET", "http://fe.test/", nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "a" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		resp.Body.Close()
	})
}
