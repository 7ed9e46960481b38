package gateway

// faults_test.go owns the proof that a reply that is damaged, reset or paused at
// any byte ends in a clean answer or an error.

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi/internal/leak"
)

// flip returns s with its i-th bit inverted.
func flip(s string, i int) string {
	b := []byte(s)
	b[i/8] ^= 1 << (i % 8)
	return string(b)
}

// faultyReplies are replies to damage.
var faultyReplies = []string{
	"Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world",
	"HTTP/1.1 404 Not Found\r\nSet-Cookie: a=b\r\n\r\ngone",
	"Location: /x\n\n",
	"Status: 103\nLink: x\n\nStatus: 304\nEtag: x\n\n",
}

// readFuzzed checks FuzzReply's invariants: a bounded, clean header, and a body as
// long as its Content-Length.
func TestReplyWithEveryBitFlipped(t *testing.T) {
	leak.Goroutines(t)
	for _, raw := range faultyReplies {
		for i := range 8 * len(raw) {
			readFuzzed(t, false, strings.NewReader(flip(raw, i)))
		}
	}
}

// A reply that is reset before its end is never a whole one.
func TestReplyResetAtEveryByte(t *testing.T) {
	leak.Descriptors(t)
	leak.Goroutines(t)
	raw := faultyReplies[0]
	var at atomic.Int64
	addr := fakeServer(t, "tcp", func(c *fakeConn) {
		c.request()
		c.send(raw[:at.Load()])
		c.Conn.(*net.TCPConn).SetLinger(0)
	})
	for n := range len(raw) {
		at.Store(int64(n))
		req, _ := http.NewRequest("GET", "http://fe.test/", nil)
		resp, err := (&Transport{Addr: addr}).RoundTrip(req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if err == nil {
			t.Errorf("reset after %q: no error", raw[:n])
		}
	}
}

// A pause within a reply changes nothing, unless it is longer than ReadTimeout.
func TestReplyPausedAtEveryByte(t *testing.T) {
	for _, raw := range faultyReplies {
		synctest.Test(t, func(t *testing.T) {
			for n := range len(raw) {
				for _, pause := range []time.Duration{defaultReadTimeout - time.Second, defaultReadTimeout + time.Second} {
					tr := pipeTransport(t, func(c *fakeConn) {
						c.request()
						c.send(raw[:n])
						time.Sleep(pause)
						io.WriteString(c.Conn, raw[n:]) // nobody may listen any more
					})
					req, _ := http.NewRequest("GET", "http://fe.test/", nil)
					resp, err := tr.RoundTrip(req)
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
					if isLong := pause > defaultReadTimeout; isLong != errors.Is(err, os.ErrDeadlineExceeded) || !isLong && err != nil {
						t.Errorf("%v after %q: %v", pause, raw[:n], err)
					}
				}
			}
			time.Sleep(time.Hour) // until every server has ended
		})
	}
}
