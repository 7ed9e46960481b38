package scgi

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// largeRequest has a header that needs a place among the large ones.
var largeRequest = encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_URI", "/large", "X", strings.Repeat("x", 2*largeHeader))

// sendInPlace sends what on a connection that is closed at the test's end; sent
// is closed when all of it is taken.
func sendInPlace(t *testing.T, c net.Conn, what string) (sent chan struct{}) {
	sent = make(chan struct{})
	t.Cleanup(func() { c.Close() })
	go func() {
		if _, err := io.WriteString(c, what); err == nil {
			close(sent)
		}
	}()
	return sent
}

func isSent(sent <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-sent:
		return true
	default:
		return false
	}
}

// Large headers wait for each other, and nothing else waits for them.
func TestLargeHeadersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) { io.WriteString(w, "served") })}
		s.init()
		s.large = make(chan struct{}, 2)
		dial := pipeServer(t, s)
		half := len(largeRequest) - 1000
		first, second, third := dial(), dial(), dial()
		if !isSent(sendInPlace(t, first, largeRequest[:half])) || !isSent(sendInPlace(t, second, largeRequest[:half])) {
			t.Fatal("there is no place for two")
		}
		waiting := sendInPlace(t, third, largeRequest)
		if isSent(waiting) {
			t.Error("there is a place for three")
		}
		small := dial()
		sendInPlace(t, small, get("/"))
		if raw, _ := io.ReadAll(small); !strings.HasSuffix(string(raw), "served") {
			t.Errorf("a usual request is answered with %q", raw)
		}
		sendInPlace(t, first, largeRequest[half:])
		for _, c := range []net.Conn{first, third} {
			if raw, _ := io.ReadAll(c); !strings.HasSuffix(string(raw), "served") {
				t.Errorf("%q", raw)
			}
		}
		if raw, _ := io.ReadAll(second); parseReply(t, string(raw)).status != 408 {
			t.Errorf("half a header is answered with %q", raw)
		}
		synctest.Wait()
		if len(s.large) != 0 {
			t.Errorf("%d places are still taken", len(s.large))
		}
	})
}

// Whoever gets no place in time is told so. A place is kept until a request's
// end, as its header is.
func TestLargeHeadersWaitInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) { time.Sleep(2 * DefaultReadHeaderTimeout) })}
		s.init()
		s.large = make(chan struct{}, 1)
		dial := pipeServer(t, s)
		first, second := dial(), dial()
		if !isSent(sendInPlace(t, first, largeRequest)) {
			t.Fatal("there is no place for one")
		}
		sendInPlace(t, second, largeRequest)
		began := time.Now()
		head := make([]byte, len("Status: 503 "))
		io.ReadFull(second, head)
		if string(head) != "Status: 503 " || time.Since(began) != DefaultReadHeaderTimeout {
			t.Errorf("%q after %v", head, time.Since(began))
		}
		second.Close()
		if raw, _ := io.ReadAll(first); parseReply(t, string(raw)).status != 200 {
			t.Errorf("the first is answered with %q", raw)
		}
	})
}

// What peers can make the server hold follows from its limits, not from how
// many of them send how much.
func TestLargeHeadersMemory(t *testing.T) {
	const peers, large, grown = 100, 3, 2 // a slice that grows has up to twice its bytes
	const bound = grown * (peers*(largeHeader+smallSize+perConnection) + large*DefaultMaxHeaderBytes)
	request := []byte(encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "X", strings.Repeat("x", DefaultMaxHeaderBytes-100)))
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: HandlerFunc(func(http.ResponseWriter, *Request) {})}
		s.init()
		s.large = make(chan struct{}, large)
		dial := pipeServer(t, s)
		before := memoryInUse()
		for range peers {
			c := dial()
			defer c.Close()
			go c.Write(request[:len(request)-1])
		}
		synctest.Wait()
		if held := memoryInUse() - before; held > bound || len(s.large) != large {
			t.Errorf("%d peers take %d bytes, want at most %d; %d of them are large", peers, held, bound, len(s.large))
		}
	})
}
