package socket_test

import (
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi/internal/socket"
)

// halfTaken is a pipe that reports the send queue of another connection.
type halfTaken struct {
	halfCloser
	syscall.Conn
}

// While the peer has not taken everything, Linger waits as long as a write would.
func TestLingerWaitsForTheReader(t *testing.T) {
	full, reader := connect(t, "tcp", &socket.Timeouts{Write: time.Nanosecond})
	size, _ := full.Write(make([]byte, 1<<20), nil) // fill the kernels' buffers
	start := func(limit time.Duration) (c *socket.Conn, ended chan struct{}) {
		_, conn := net.Pipe()
		c = new(socket.Conn)
		c.Open(halfTaken{halfCloser{conn}, full.NetConn().(syscall.Conn)}, &socket.Timeouts{Write: limit})
		ended = make(chan struct{})
		go func() {
			defer close(ended)
			c.Linger()
		}()
		return c, ended
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, ended := start(time.Minute)
		<-ended
		if took := time.Since(began); took < time.Minute || took > 2*time.Minute {
			t.Errorf("with a limit of a minute it took %v", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, ended := start(0)
		time.Sleep(time.Hour)
		select {
		case <-ended:
			t.Error("without a limit it did not wait")
		default:
		}
		if _, err := io.CopyN(io.Discard, reader, int64(size)); err != nil {
			t.Fatal(err)
		}
		for !c.IsTaken() { // the acknowledgment may be delayed
		}
		began := time.Now()
		<-ended
		if took := time.Since(began); took > time.Minute {
			t.Errorf("with nothing left to send it took %v", took)
		}
	})
}
