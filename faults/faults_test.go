package faults

// faults_test.go breaks connections at every byte. Each request then ends in a right
// answer, a clear refusal or a clean close, and leaves nothing behind. The second parser in
// internal/scgitest decides what is right.

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/leak"
	"example.com/scgi/internal/scgitest"
)

// faultKinds are the kinds of listener on which every offset is tried. Each reads its
// connections in a different way.
var faultKinds = []string{"unix", "tcp", "tcp portable"}

// leavesNothing fails t if goroutines or descriptors from after this call are left at its
// end, or if a connection of s is left or was not counted exactly once.
func leavesNothing(t *testing.T, s *scgi.Server) {
	t.Helper()
	t.Cleanup(func() { addsUp(t, s.Stats()) })
	descriptorCheck(t)
	leak.Goroutines(t)
}

// descriptorCheck fails t if more descriptors are open at its end than at the call. Call it
// before leak.Goroutines, so that it runs after it.
func descriptorCheck(t *testing.T) {
	t.Helper()
	listen(t, "tcp").Close() // opens the runtime's own descriptors
	leak.Descriptors(t)
}

// descriptors returns the number of open descriptors, on systems that list them.
func descriptors() int {
	names, _ := os.ReadDir("/proc/self/fd")
	return len(names)
}

func addsUp(t *testing.T, st scgi.Stats) {
	t.Helper()
	if sum := st.Served + refusedBy(st) + st.Empty + st.TurnedAway; sum != st.Accepted {
		t.Errorf("%d connections were counted %d times: %+v", st.Accepted, sum, st)
	}
	if st.Open+st.Reading+st.Workers+st.Busy+st.Waiting+st.Abandoned != 0 {
		t.Errorf("something is left: %+v", st)
	}
}

func refusedBy(st scgi.Stats) (n int64) {
	for _, k := range st.Refused {
		n += k
	}
	return n
}

// inParallel calls f with each number below n, on a few goroutines.
func inParallel(n int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	all.Wait()
}

// onFaulty runs f on an echo server for each kind of listener and each request, and checks
// that nothing is left.
func onFaulty(t *testing.T, f func(t *testing.T, addr net.Addr, request string)) {
	for _, kind := range faultKinds {
		t.Run(kind, func(t *testing.T) {
			s := &scgi.Server{Handler: echo, MaxWorkers: 4}
			leavesNothing(t, s)
			l := listen(t, kind)
			start(t, s, l)
			for _, request := range smallRequests(t) {
				f(t, l.Addr(), request)
			}
			if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
				t.Errorf("the next request got %+v", r)
			}
		})
	}
}

// askRaw sends input, half-closes the connection, and returns the reply.
func askRaw(t *testing.T, addr net.Addr, input string) string {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Error(err)
		return ""
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, input)
	c.(interface{ CloseWrite() error }).CloseWrite()
	raw, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%q: %v", input, err)
	}
	return string(raw)
}

// checkAnswer compares a reply with the one that the grammar demands for the input.
func checkAnswer(t *testing.T, input, raw string) {
	t.Helper()
	want := scgitest.Judge(input, false)
	if raw == "" || raw == "\x15\x03\x01\x00\x02\x02\x0a" {
		if (want.Status == 0) != (raw == "") {
			t.Errorf("%q is answered with %q, want %d", input, raw, want.Status)
		}
		return
	}
	status, body, short := answered(raw)
	if status != want.Status || status == 200 && (body != want.Body || short != fmt.Sprint(want.Short)) {
		t.Errorf("%q is answered with %q, want %d %q", input, raw, want.Status, want.Body)
	}
}

// answered returns the reply's status, body and X-Short.
func answered(raw string) (status int, body, short string) {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	head = strings.TrimPrefix(strings.TrimPrefix(head, "HTTP/1.1 "), "Status: ")
	fmt.Sscan(head, &status)
	_, short, _ = strings.Cut(head, "X-Short: ")
	short, _, _ = strings.Cut(short, "\r")
	return status, body, short
}

func TestCutAtEveryByte(t *testing.T) {
	onFaulty(t, func(t *testing.T, addr net.Addr, request string) {
		inParallel(len(request)+1, func(n int) {
			checkAnswer(t, request[:n], askRaw(t, addr, request[:n]))
		})
	})
}

func TestResetAtEveryByte(t *testing.T) {
	onFaulty(t, func(t *testing.T, addr net.Addr, request string) {
		inParallel(len(request)+1, func(n int) { sendAndReset(t, addr, request[:n]) })
	})
}

// sendAndReset resets the connection after input. A unix socket has no reset, so there both
// sides are closed at once.
func sendAndReset(t *testing.T, addr net.Addr, input string) {
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Error(err)
		return
	}
	io.WriteString(c, input)
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// One bit of each byte is flipped. TestParsersAgreeOnEveryFlippedBit tries all bits,
// without a network.
func TestBitFlippedInEveryByte(t *testing.T) {
	onFaulty(t, func(t *testing.T, addr net.Addr, request string) {
		inParallel(len(request), func(n int) {
			flipped := flip(request, 8*n+n%8)
			checkAnswer(t, flipped, askRaw(t, addr, flipped))
		})
	})
}

// howItEnds is a handler that answers with the body and with the error that ended it.
var howItEnds = scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
	body, err := io.ReadAll(r.Body)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.WriteHeader(http.StatusRequestTimeout)
		return
	}
	w.Write(body)
})

// A peer that pauses anywhere for less than the timeout is served. A peer that pauses longer
// gets a 408, or is dropped if it has sent nothing.
func TestPausedAtEveryByte(t *testing.T) {
	const timeout = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s := &scgi.Server{Handler: howItEnds, ReadHeaderTimeout: timeout, ReadTimeout: timeout}
		t.Cleanup(func() { synctest.Wait(); addsUp(t, s.Stats()) })
		dial := pipeServer(t, s)
		for _, request := range []string{vectors(t)[0].Input, get("/"), post("/", "hello")} {
			want := scgitest.Judge(request, false)
			for n := range len(request) + 1 {
				status, body, _ := answered(askPaused(dial(), request, n, timeout-time.Second))
				if status != 200 || body != want.Body {
					t.Errorf("a short pause after %q: %d %q", request[:n], status, body)
				}
				status, body, _ = answered(askPaused(dial(), request, n, timeout+time.Second))
				if status != map[bool]int{true: 200, false: 408}[n == len(request)] && n > 0 || n == 0 && status != 0 {
					t.Errorf("a long pause after %q: %d %q", request[:n], status, body)
				}
			}
		}
	})
}

// askPaused sends request with a pause before its n-th byte.
func askPaused(c net.Conn, request string, n int, pause time.Duration) string {
	var sending sync.WaitGroup
	defer sending.Wait()
	defer c.Close()
	sending.Go(func() {
		if n > 0 {
			io.WriteString(c, request[:n])
		}
		time.Sleep(pause) // synctest's time
		io.WriteString(c, request[n:])
	})
	raw, _ := io.ReadAll(c)
	return string(raw)
}
