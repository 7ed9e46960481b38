package socket_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi/internal/socket"
)

// Abort over TLS sends no closing alert.
func TestAbortTLS(t *testing.T) {
	https := httptest.NewTLSServer(nil) // provides a certificate
	defer https.Close()
	for name, end := range map[string]func(*socket.Conn){
		"closed":  func(c *socket.Conn) { c.Close() },
		"aborted": (*socket.Conn).Abort,
	} {
		l := tls.NewListener(open(t, "tcp portable"), https.TLS)
		dialed := make(chan net.Conn)
		go func() {
			c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Error(err)
			}
			dialed <- c
		}()
		c := new(socket.Conn)
		if err := socket.NewAcceptor(l, &socket.Timeouts{}).Accept(c); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("half"), nil); err != nil {
			t.Fatal(err)
		}
		peer := <-dialed
		defer peer.Close()
		end(c)
		if got, err := io.ReadAll(peer); (err == nil) != (name == "closed") {
			t.Errorf("%s: the peer reads %q, %v", name, got, err)
		}
	}
}

// halfCloser is a pipe whose writing side can be shut down.
type halfCloser struct{ net.Conn }

func (halfCloser) CloseWrite() error { return nil }

// After the handler has returned, it can't extend Linger's deadline.
func TestLingerKeepsItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, conn := net.Pipe()
		defer peer.Close()
		var c socket.Conn
		c.Open(halfCloser{conn}, &socket.Timeouts{})
		began := time.Now()
		lingered := make(chan struct{})
		go func() {
			c.Linger()
			close(lingered)
		}()
		synctest.Wait()
		if c.SetReadDeadline(time.Time{}) == nil || c.SetWriteDeadline(time.Time{}) == nil {
			t.Error("SetReadDeadline succeeded")
		}
		<-lingered
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it lingers for %v", took)
		}
	})
}

// Without a limit a peer may stop reading for any length of time.
func TestStalledReaderWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, conn := net.Pipe()
		var c socket.Conn
		c.Open(conn, &socket.Timeouts{})
		go func() {
			time.Sleep(time.Hour)
			io.CopyN(io.Discard, peer, 1<<20)
		}()
		if n, err := c.Write(nil, make([]byte, 1<<20)); n != 1<<20 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		c.Close()
		peer.Close()
	})
}
