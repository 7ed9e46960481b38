package scgi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestMaxWorkers(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		const max, requests = 3, 50
		var now, high atomic.Int64
		start(t, &Server{MaxWorkers: max, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			raise(&high, now.Add(1))
			runtime.Gosched()
			now.Add(-1)
		})}, l)
		var wg sync.WaitGroup
		for range requests {
			wg.Go(func() { ask(t, l.Addr(), get("/")) })
		}
		wg.Wait()
		if high.Load() > max {
			t.Errorf("%d handlers ran at once", high.Load())
		}
	})
}

func TestSilentConnectionsHoldNoWorker(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		leakCheck(t)
		s := &Server{MaxWorkers: 4}
		start(t, s, l)
		var silent []net.Conn
		for i := range 1000 {
			c := dial(t, l.Addr())
			if i%2 == 0 {
				io.WriteString(c, "70:CONTENT_LENGTH")
			}
			silent = append(silent, c)
		}
		for range 20 {
			if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
				t.Errorf("%+v", r)
			}
		}
		for _, c := range silent {
			c.Close()
		}
	})
}

func TestMaxConns(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &Server{MaxConns: 2}
		start(t, s, l)
		var waiting []net.Conn
		for range 5 {
			waiting = append(waiting, dial(t, l.Addr()))
		}
		for _, c := range waiting { // only now do the first two let go
			io.WriteString(c, get("/"))
			if reply, err := io.ReadAll(c); err != nil || len(reply) == 0 {
				t.Errorf("%q, %v", reply, err)
			}
			c.Close()
		}
		if most := s.Stats().MostOpen; most > 2 {
			t.Errorf("%d connections were open at once", most)
		}
	})
}

// sharedListener says that other processes accept from it, too.
type sharedListener struct{ net.Listener }

func (sharedListener) IsShared() bool { return true }

// A connection that no worker is free for stays in the socket of which others
// accept, unless MaxConns says otherwise.
func TestSharedListenerIsNotHoarded(t *testing.T) {
	for _, maxConns := range []int{0, 2} {
		onEachKind(t, func(t *testing.T, l net.Listener) {
			s := &Server{MaxWorkers: 1, MaxConns: maxConns}
			start(t, s, sharedListener{l})
			var conns []net.Conn
			for range 4 {
				conns = append(conns, dial(t, l.Addr()))
			}
			for _, c := range conns {
				io.WriteString(c, get("/"))
				if reply, err := io.ReadAll(c); err != nil || len(reply) == 0 {
					t.Errorf("%q, %v", reply, err)
				}
			}
			if most := s.Stats().MostOpen; most != int64(max(maxConns, 1)) {
				t.Errorf("MaxConns %d: %d connections were open at once", maxConns, most)
			}
		})
	}
}

// Every listener learns of room, not only one that has nothing to accept.
func TestMaxConnsOfTwoListeners(t *testing.T) {
	a, b := listen(t, "unix"), listen(t, "unix")
	held := make(chan bool)
	s := &Server{MaxConns: 2, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
		if r.Env.Get("REQUEST_URI") == "/hold" {
			held <- true
			io.ReadAll(r.Body)
		}
	})}
	start(t, s, a)
	start(t, s, b)
	hold := func(l net.Listener) (release func()) {
		c := dial(t, l.Addr())
		request := encode("", "CONTENT_LENGTH", "1", "SCGI", "1", "REQUEST_URI", "/hold")
		io.WriteString(c, request)
		<-held
		return func() {
			io.WriteString(c, "x")
			io.ReadAll(c)
		}
	}
	long, first, second := hold(a), hold(a), hold(b) // now both wait for room
	first()
	second()
	for _, l := range []net.Listener{a, b} {
		if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
			t.Errorf("%+v", r)
		}
	}
	long()
}

func TestBodyLimit(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		log := start(t, &Server{MaxBodyBytes: 1000, Handler: echo}, l)
		if r := parseReply(t, ask(t, l.Addr(), post("/", strings.Repeat("x", 1000)))); r.Status != 200 || len(r.Body) != 1000 {
			t.Errorf("at the limit: %+v", r)
		}
		// The refusal arrives although 20 MB are on their way.
		for range 3 {
			if r := parseReply(t, ask(t, l.Addr(), post("/", strings.Repeat("x", 20e6)))); r.Status != 413 {
				t.Errorf("over the limit: %+v", r)
			}
		}
		if !strings.Contains(log.String(), "413") {
			t.Errorf("the log says %q", log)
		}
	})
}

func TestHeaderLimit(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		block := func(n int) string {
			return encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "X", strings.Repeat("y", n-len("CONTENT_LENGTH_0_SCGI_1_X__")))
		}
		start(t, &Server{MaxHeaderBytes: 100000}, l)
		if r := parseReply(t, ask(t, l.Addr(), block(100000))); r.Status != 200 {
			t.Errorf("at the limit: %d", r.Status)
		}
		if r := parseReply(t, ask(t, l.Addr(), block(100001))); r.Status != 431 {
			t.Errorf("over the limit: %d", r.Status)
		}
	})
}

func TestHeaderTimeoutIsOfTheWholeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{ReadHeaderTimeout: 10 * time.Second}
		dial := pipeServer(t, s)
		silent := dial()
		began := time.Now()
		if b, err := io.ReadAll(silent); len(b) != 0 || err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("a silent connection got %q, %v after %v", b, err, time.Since(began))
		}
		if n := s.Stats().Empty; n != 1 {
			t.Errorf("%d empty connections", n)
		}
		dripping := dial()
		began = time.Now()
		var peer sync.WaitGroup
		defer peer.Wait()
		peer.Go(func() {
			io.WriteString(dripping, "70:")
			for range 100 {
				time.Sleep(time.Second)
				if _, err := io.WriteString(dripping, "X"); err != nil {
					return
				}
			}
		})
		b, _ := io.ReadAll(dripping)
		dripping.Close()
		if r := parseReply(t, string(b)); r.Status != 408 || time.Since(began) > 10*time.Second+30*time.Second {
			t.Errorf("a dripping one got %d after %v", r.Status, time.Since(began))
		}
	})
}

func TestReadAndWriteTimeoutsAreRenewedByProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		dial := pipeServer(t, &Server{ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			_, err := io.Copy(io.Discard, r.Body)
			for i := 0; err == nil && i < 20; i++ {
				if _, err = io.WriteString(w, "x"); err == nil {
					err = http.NewResponseController(w).Flush()
				}
			}
			ended <- err
		})})
		upload := func(c net.Conn, pause time.Duration) {
			io.WriteString(c, encode("", "CONTENT_LENGTH", "20", "SCGI", "1"))
			for range 20 {
				time.Sleep(pause)
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
			}
		}
		download := func(c net.Conn, pause time.Duration) {
			var one [100]byte
			for {
				if _, err := c.Read(one[:]); err != nil {
					return
				}
				time.Sleep(pause)
			}
		}
		for _, test := range []struct {
			read, write time.Duration
			timeout     bool
		}{{9 * time.Second, 9 * time.Second, false}, {11 * time.Second, 0, true}, {0, 11 * time.Second, true}} {
			c := dial()
			var peers sync.WaitGroup
			peers.Go(func() { upload(c, test.read) })
			peers.Go(func() { download(c, test.write) })
			if err := <-ended; errors.Is(err, os.ErrDeadlineExceeded) != test.timeout {
				t.Errorf("%+v: %v", test, err)
			}
			c.Close()
			peers.Wait()
		}
	})
}

// By default a peer may stop reading for as long as it likes.
func TestNoWriteTimeoutByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat("x", 1<<20)
		dial := pipeServer(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) { io.WriteString(w, body) })})
		c := dial()
		io.WriteString(c, get("/"))
		time.Sleep(24 * time.Hour) // the bubble's time
		raw, err := io.ReadAll(c)
		if err != nil || !strings.HasSuffix(string(raw), body) {
			t.Errorf("%d bytes, %v", len(raw), err)
		}
	})
}

// A reply that WriteTimeout breaks off ends in a reset, and the access log counts
// the bytes that went out.
func TestStalledReplyIsCutAndCounted(t *testing.T) {
	for _, kind := range []string{"tcp", "tcp net", "tcp portable"} {
		t.Run(kind, func(t *testing.T) {
			var access syncBuffer
			l := listen(t, kind)
			const size = 64 << 20
			s := &Server{
				WriteTimeout: 100 * time.Millisecond,
				AccessLog:    slog.New(slog.NewJSONHandler(&access, nil)),
				Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
					w.Write(make([]byte, 5))
					w.Write(make([]byte, size))
				}),
			}
			start(t, s, l)
			c := dial(t, l.Addr())
			io.WriteString(c, get("/"))
			for access.String() == "" {
				time.Sleep(time.Millisecond)
			}
			var row struct {
				Out int64
				Cut bool
			}
			if err := json.Unmarshal([]byte(access.String()), &row); err != nil {
				t.Fatal(err)
			}
			if !row.Cut || row.Out <= 5 || row.Out >= size {
				t.Errorf("the access log says %+v", row)
			}
			if out := s.Stats().BytesOut; out != row.Out {
				t.Errorf("Stats counts %d bytes, the access log %d", out, row.Out)
			}
			if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the reply ends with %v", err)
			}
		})
	}
}

func TestHandlersOwnDeadlines(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			rc := http.NewResponseController(w)
			if err := rc.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Error(err)
			}
			early, err := io.ReadAll(r.Body)
			if err := rc.SetReadDeadline(time.Time{}); err != nil {
				t.Error(err)
			}
			rest, _ := io.ReadAll(r.Body)
			fmt.Fprint(w, errors.Is(err, os.ErrDeadlineExceeded), len(early)+len(rest))
			if err := rc.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
			if err := rc.EnableFullDuplex(); err != nil {
				t.Error(err)
			}
		})}, l)
		body := strings.Repeat("x", 100000)
		whole := post("/", body)
		head := len(whole) - len(body)
		if r := parseReply(t, ask(t, l.Addr(), whole[:head], whole[head:])); r.Body != "true 100000" {
			t.Errorf("%+v", r)
		}
	})
}

// A handler's early reply arrives although its peer is still sending.
func TestEarlyReplyOfAHandlerArrives(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })}, l)
		body := strings.Repeat("x", 8<<20)
		for range 5 {
			if r := parseReply(t, ask(t, l.Addr(), post("/", body))); r.Status != 413 {
				t.Errorf("%+v", r)
			}
		}
	})
}
