package gateway

// faults_test.go tests faults on either side: a reply that is damaged, reset or paused at
// any byte, a server that is dead, and a client that is slow or goes away. Each ends in a
// clean answer or an error.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
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

// faultyReplies are the replies to damage.
var faultyReplies = []string{
	"Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world",
	"HTTP/1.1 404 Not Found\r\nSet-Cookie: a=b\r\n\r\ngone",
	"Location: /x\n\n",
	"Status: 103\nLink: x\n\nStatus: 304\nEtag: x\n\n",
}

// A reply with any bit flipped keeps FuzzReply's invariants: its header is bounded and
// clean, and its body is as long as its Content-Length.
func TestReplyWithEveryBitFlipped(t *testing.T) {
	leak.Goroutines(t)
	for _, raw := range faultyReplies {
		for i := range 8 * len(raw) {
			readFuzzed(t, false, strings.NewReader(flip(raw, i)))
		}
	}
}

// A reply that is reset before its end never passes for a whole one.
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

// A pause within a reply changes nothing unless it is longer than ReadTimeout.
func TestReplyPausedAtEveryByte(t *testing.T) {
	for _, raw := range faultyReplies {
		synctest.Test(t, func(t *testing.T) {
			for n := range len(raw) {
				for _, pause := range []time.Duration{defaultReadTimeout - time.Second, defaultReadTimeout + time.Second} {
					tr := pipeTransport(t, func(c *fakeConn) {
						c.request()
						c.send(raw[:n])
						time.Sleep(pause)
						io.WriteString(c.Conn, raw[n:]) // the client may be gone
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
			time.Sleep(time.Hour) // lets every server end
		})
	}
}

func TestGatewayCutReply(t *testing.T) {
	quietLog(t)
	srv := startGateway(t, "tcp", fakeAnswer("Content-Length: 10\n\nabc"))
	resp, err := srv.Client().Get(srv.URL)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) { // the cut may be in the header
		t.Errorf("got %v, want an early end", err)
	}
}

func TestGatewayClientGone(t *testing.T) {
	ended := make(chan struct{})
	asked := make(chan struct{})
	srv := startGateway(t, "tcp", func(c *fakeConn) {
		c.request()
		close(asked)
		c.drain()
		close(ended)
	})
	log := quietLog(t)
	c, _ := rawHTTP(t, srv, "GET / HTTP/1.1\r\nHost: fe.test\r\n\r\n")
	<-asked
	c.Close()
	<-ended
	srv.Close() // which waits for the handler
	if log.Len() != 0 {
		t.Errorf("logged: %s", log)
	}
}

// quietLog captures the default logger's output.
func quietLog(t *testing.T) *bytes.Buffer {
	var b bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&b, nil)))
	t.Cleanup(func() { slog.SetDefault(old) })
	return &b
}

func TestGatewayErrors(t *testing.T) {
	silent := func(c *fakeConn) { c.request(); c.drain() }
	dead := fakeDead(t)
	for name, row := range map[string]struct {
		request func(*http.Request)
		script  func(*fakeConn)
		set     func(*Transport)
		status  int
		logs    bool
	}{
		"refused":        {script: silent, set: func(t *Transport) { t.Addr = dead }, status: 502, logs: true},
		"missing socket": {script: silent, set: func(t *Transport) { t.Addr = "unix:/nonexistent/x" }, status: 502, logs: true},
		"no disk": {request: func(r *http.Request) {
			missing := filepath.Join(t.TempDir(), "missing")
			t.Setenv("TMPDIR", missing)
			t.Setenv("TMP", missing)
			r.Body, r.ContentLength = io.NopCloser(io.LimitReader(zeroSource{}, 2*spoolMemory)), 2*spoolMemory
		}, script: silent, status: 500, logs: true},
		"not to dial":    {script: silent, set: func(t *Transport) { t.Addr = "fd:0" }, status: 502, logs: true},
		"no reply":       {script: func(c *fakeConn) { c.request() }, status: 502, logs: true},
		"no header":      {script: fakeAnswer("garbage\n"), status: 502, logs: true},
		"header too big": {script: fakeAnswer("A: " + strings.Repeat("x", 100) + "\n\n"), set: func(t *Transport) { t.MaxHeaderBytes = 50 }, status: 502, logs: true},
		"too slow":       {script: silent, set: func(t *Transport) { t.ReadTimeout = time.Millisecond }, status: 504, logs: true},
		"dial timeout": {script: silent, set: func(t *Transport) {
			t.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, context.DeadlineExceeded }
		}, status: 504, logs: true},
		"too long": {request: func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(zeroSource{}), -1 },
			script: silent, set: func(t *Transport) { t.MaxSpoolBytes = 100 }, status: 413},
		"too long by handler": {request: func(r *http.Request) {
			r.Body, r.ContentLength = http.MaxBytesReader(nil, io.NopCloser(zeroSource{}), 100), 200
		}, script: func(c *fakeConn) { c.drain() }, status: 413},
		"NUL in path":   {request: func(r *http.Request) { r.URL.Path = "/\x00" }, script: silent, status: 400},
		"line in path":  {request: func(r *http.Request) { r.URL.Path = "/\n" }, script: silent, status: 400},
		"broken upload": {request: func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a")), 9 }, script: func(c *fakeConn) { c.drain() }, status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Goroutines(t)
			log := quietLog(t)
			tr := &Transport{Addr: fakeServer(t, "tcp", row.script)}
			if row.set != nil {
				row.set(tr)
			}
			req := httptest.NewRequest("POST", "http://fe.test/", nil)
			if row.request != nil {
				row.request(req)
			}
			w := httptest.NewRecorder()
			tr.Handler().ServeHTTP(w, req)
			if w.Code != row.status || strings.Count(w.Body.String(), "\n") != 1 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
				t.Errorf("got %d %q, want %d and a line", w.Code, w.Body, row.status)
			}
			if (log.Len() > 0) != row.logs {
				t.Errorf("logged %q, want %t", log, row.logs)
			}
		})
	}
}

// fakeDead returns the address of a server that has exited.
func fakeDead(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A client that waits for the answer before it sends the rest of its body gets the answer.
// The rest is not taken for another request.
func TestGatewayRefusesEarly(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: fe.test\r\n\r\n"
	for name, row := range map[string]struct {
		length string
		tr     *Transport
		status int
	}{
		"length too long":    {"Content-Length: 1000", &Transport{MaxSpoolBytes: 999}, 413},
		"chunks too long":    {"Transfer-Encoding: chunked", &Transport{MaxSpoolBytes: 1}, 413},
		"too many at a time": {"Content-Length: 1000", fullTransport(), 503},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Goroutines(t)
			quietLog(t)
			row.tr.Addr = fakeServer(t, "tcp", func(*fakeConn) { t.Error("the request reached the server") })
			srv := httptest.NewServer(row.tr.Handler())
			t.Cleanup(srv.Close)
			c, in := rawHTTP(t, srv, "POST /upload HTTP/1.1\r\nHost: fe.test\r\n"+row.length+"\r\n\r\n3\r\nabc\r\n")
			if resp, _ := readResponse(t, in, "POST"); resp.StatusCode != row.status || !resp.Close {
				t.Errorf("got %v, want %d and the end of the connection", resp, row.status)
			}
			_, _ = io.WriteString(c, smuggled)
			_ = c.(*net.TCPConn).CloseWrite() // or net/http waits for the rest, as it is small
			if rest, _ := io.ReadAll(in); len(rest) != 0 {
				t.Errorf("the rest was answered as a request: %q", rest)
			}
		})
	}
}

// fullTransport is a Transport whose spool places are all taken.
func fullTransport() *Transport {
	tr := &Transport{MaxSpools: 1}
	tr.spools.Add(1)
	return tr
}

// Slow uploads take places in the spool but no workers. Once all places are taken, uploads
// are refused and other requests are still served.
func TestGatewaySlowClients(t *testing.T) {
	leak.Goroutines(t)
	quietLog(t)
	const slow = 20
	var asked atomic.Int64
	tr := &Transport{MaxSpools: slow, Addr: fakeServer(t, "unix", func(c *fakeConn) {
		asked.Add(1)
		fakeEcho(c)
	})}
	srv := httptest.NewServer(tr.Handler())
	t.Cleanup(srv.Close)
	post := func(n int) (net.Conn, *bufio.Reader) {
		return rawHTTP(t, srv, fmt.Sprintf("POST / HTTP/1.1\r\nHost: fe.test\r\nContent-Length: %d\r\n\r\na", n))
	}
	get := func() {
		t.Helper()
		_, in := rawHTTP(t, srv, "GET / HTTP/1.1\r\nHost: fe.test\r\n\r\n")
		if resp, _ := readResponse(t, in, "GET"); resp.StatusCode != 200 {
			t.Errorf("got %v", resp)
		}
	}
	c, in := post(2)
	for range slow - 1 {
		post(1000)
	}
	for tr.spools.Load() < slow {
		runtime.Gosched()
	}
	get()
	if _, in := post(1); true {
		if resp, _ := readResponse(t, in, "POST"); resp.StatusCode != 503 {
			t.Errorf("got %v, want 503", resp)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the server got %d requests for one page", n)
	}
	_, _ = io.WriteString(c, "b")
	if resp, body := readResponse(t, in, "POST"); resp.StatusCode != 200 || !strings.HasSuffix(body, "\nab") {
		t.Errorf("got %v, %q", resp, body)
	}
	if _, in := post(1); true {
		if resp, _ := readResponse(t, in, "POST"); resp.StatusCode != 200 {
			t.Errorf("got %v, want 200 once a place is free", resp)
		}
	}
}

// deadlines is a ResponseWriter that records each read deadline, as the time left until it.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Duration
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	wait := time.Duration(0)
	if !t.IsZero() {
		wait = time.Until(t)
	}
	d.set = append(d.set, wait)
	return nil
}

// The handler gives up a body that stops arriving after a minute, unless the http.Server has
// a limit of its own.
func TestGatewayBodyStops(t *testing.T) {
	for limit, want := range map[time.Duration][]time.Duration{
		0:           {bodyTimeout, bodyTimeout, 0},
		time.Second: nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			body := io.MultiReader(strings.NewReader("a"), readerFunc(func([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }))
			req := httptest.NewRequest("POST", "http://fe.test/", body)
			req = req.WithContext(context.WithValue(req.Context(), http.ServerContextKey, &http.Server{ReadTimeout: limit}))
			req.ContentLength = 9
			New("").ServeHTTP(w, req)
			if w.Code != 408 || w.Header().Get("Connection") != "close" || !slices.Equal(w.set, want) {
				t.Errorf("got %d, deadlines %v, want %v", w.Code, w.set, want)
			}
		})
	}
}

// Once it is sent, a spooled body holds neither a file nor a place.
func TestGatewayReleasesSpool(t *testing.T) {
	leak.TempFiles(t)
	leak.Goroutines(t)
	var tr Transport
	reply := make(chan struct{})
	tr.Addr = fakeServer(t, "unix", func(c *fakeConn) {
		c.request()
		for tr.spools.Load() > 0 { // until the body is sent
			runtime.Gosched()
		}
		c.send("\n")
		close(reply)
	})
	for _, upgrade := range []string{"", "\x7f"} { // ReverseProxy refuses the second value
		req := httptest.NewRequest("POST", "http://fe.test/", io.LimitReader(zeroSource{}, 2*spoolMemory))
		if upgrade != "" {
			req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {upgrade}}
		}
		tr.Handler().ServeHTTP(httptest.NewRecorder(), req)
		if n := tr.spools.Load(); n != 0 {
			t.Errorf("%d places are still held", n)
		}
	}
	<-reply
}
