package scgi_test

import (
	"context"
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
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi"
)

func TestPanics(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &scgi.Server{MaxWorkers: 2, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			switch r.Env.Get("REQUEST_URI") {
			case "/panic":
				panic("the handler's word")
			case "/goexit":
				runtime.Goexit()
			case "/abort":
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, "fine")
		})}
		log := start(t, s, l)
		for range 20 {
			for uri, status := range map[string]int{"/panic": 500, "/goexit": 500, "/abort": 500, "/": 200} {
				if r := parseReply(t, ask(t, l.Addr(), get(uri))); r.Status != status {
					t.Errorf("%s: %+v", uri, r)
				}
			}
		}
		if n := s.Stats().Panics; n != 40 {
			t.Errorf("%d panics were counted", n)
		}
		text := log.String()
		for _, want := range []string{"the handler's word", "method=GET", "uri=/panic", "uri=/goexit", "stack=", "exchange_test.go"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in the log", want)
			}
		}
		if strings.Contains(text, "/abort") {
			t.Error("ErrAbortHandler was logged")
		}
	})
}

func TestManyPanicsLeakNothing(t *testing.T) {
	leakCheck(t)
	l := listen(t, "unix")
	s := &scgi.Server{MaxWorkers: 4, Logger: slog.New(slog.DiscardHandler), Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { panic("again") })}
	start(t, s, l)
	const panics = 5000
	var peers sync.WaitGroup
	for range 8 {
		peers.Go(func() {
			for range panics / 8 {
				if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 500 {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	peers.Wait()
	if st := s.Stats(); st.Panics != panics || st.Busy > 4 || st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
}

func TestUseAfterReturnFails(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		var w http.ResponseWriter
		var r *scgi.Request
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(ww http.ResponseWriter, rr *scgi.Request) { w, r = ww, rr })}, l)
		ask(t, l.Addr(), post("/first", "body"))
		late := w
		env := r.Env
		lateReq := r
		ask(t, l.Addr(), post("/second", "BODY"))
		if _, err := late.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a late Write: %v", err)
		}
		if err := http.NewResponseController(late).Flush(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a late Flush: %v", err)
		}
		if _, _, err := http.NewResponseController(late).Hijack(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a late Hijack: %v", err)
		}
		if _, err := lateReq.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("a late Read: %v", err)
		}
		if env.Get("REQUEST_URI") != "/first" || lateReq.Context().Err() == nil {
			t.Errorf("kept: %q, %v", env.Get("REQUEST_URI"), lateReq.Context().Err())
		}
		late.Header().Set("X", "late")
		late.WriteHeader(500)
	})
}

func TestStuckHandlersAreAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan bool)
		var log syncBuffer
		s := &scgi.Server{MaxWorkers: 2, MaxAbandoned: 1, RequestTimeout: 10 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
				switch r.Env.Get("REQUEST_URI") {
				case "/stuck":
					<-hold
					if _, err := w.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
						t.Errorf("writing after the 504: %v", err)
					}
				case "/polite":
					<-r.Context().Done()
					if end, ok := r.Context().Deadline(); !ok || time.Until(end) > 0 || r.Context().Err() != context.DeadlineExceeded {
						t.Errorf("deadline %v, %v", end, r.Context().Err())
					}
					w.WriteHeader(502)
				case "/begun":
					w.(http.Flusher).Flush()
					<-hold
				}
			})}
		dial := pipeServer(t, s)
		if r := parseReply(t, <-exchangeOn(dial(), get("/polite"))); r.Status != 502 {
			t.Errorf("a handler that ends in time: %+v", r)
		}
		began := time.Now()
		if r := parseReply(t, <-exchangeOn(dial(), get("/stuck"))); r.Status != 504 || time.Since(began) != 11*time.Second {
			t.Errorf("a stuck handler: %+v after %v", r, time.Since(began))
		}
		if st := s.Stats(); st.Abandoned != 1 || st.Busy != 0 {
			t.Errorf("its worker was not replaced: %+v", st)
		}
		// The second worker is not replaced, and its reply is cut.
		if r := <-exchangeOn(dial(), get("/begun")); !strings.HasPrefix(r, "Status: 200") {
			t.Errorf("%q", r)
		}
		if st := s.Stats(); st.Abandoned != 2 || st.Busy != 1 || !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("%+v, %s", st, &log)
		}
		if r := parseReply(t, <-exchangeOn(dial(), get("/"))); r.Status != 200 {
			t.Errorf("another request: %+v", r)
		}
		hold <- true
		hold <- true
		synctest.Wait()
		if st := s.Stats(); st.Abandoned != 0 || st.Refused[504] != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestReadAndWriteTimeoutsAreRenewedByProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		dial := pipeServer(t, &scgi.Server{ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
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

// By default a peer may stop reading for any length of time.
func TestNoWriteTimeoutByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat("x", 1<<20)
		dial := pipeServer(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { io.WriteString(w, body) })})
		c := dial()
		io.WriteString(c, get("/"))
		time.Sleep(24 * time.Hour) // synctest's time
		raw, err := io.ReadAll(c)
		if err != nil || !strings.HasSuffix(string(raw), body) {
			t.Errorf("%d bytes, %v", len(raw), err)
		}
	})
}

func TestHandlersOwnDeadlinesApply(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
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

// A reply that WriteTimeout cuts ends in a reset, and the access log counts the bytes that
// were sent.
func TestStalledReplyIsCutAndCounted(t *testing.T) {
	for _, kind := range []string{"tcp", "tcp net", "tcp portable"} {
		t.Run(kind, func(t *testing.T) {
			var access syncBuffer
			l := listen(t, kind)
			const size = 64 << 20
			s := &scgi.Server{
				WriteTimeout: 100 * time.Millisecond,
				AccessLog:    slog.New(slog.NewJSONHandler(&access, nil)),
				Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
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

// On TCP a truncated reply must end in a reset: without a Content-Length, an orderly close
// marks the end of a whole reply.
func TestTruncatedReplyIsReset(t *testing.T) {
	much := make([]byte, 1<<20)
	writeToTheEnd := func(w http.ResponseWriter) {
		for {
			if _, err := w.Write(much); err != nil {
				return
			}
		}
	}
	for name, h := range map[string]func(s *scgi.Server) scgi.HandlerFunc{
		"panic": func(s *scgi.Server) scgi.HandlerFunc {
			return func(w http.ResponseWriter, r *scgi.Request) {
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
		},
		"short of its Content-Length": func(s *scgi.Server) scgi.HandlerFunc {
			return func(w http.ResponseWriter, r *scgi.Request) {
				w.Header().Set("Content-Length", "10")
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
			}
		},
		"WriteTimeout": func(s *scgi.Server) scgi.HandlerFunc {
			s.WriteTimeout = 10 * time.Millisecond
			return func(w http.ResponseWriter, r *scgi.Request) { writeToTheEnd(w) }
		},
		"own deadline": func(*scgi.Server) scgi.HandlerFunc {
			return func(w http.ResponseWriter, r *scgi.Request) {
				rc := http.NewResponseController(w)
				if err := errors.Join(rc.Flush(), rc.SetWriteDeadline(time.Unix(1, 0))); err != nil {
					t.Error(err)
				}
				writeToTheEnd(w)
			}
		},
		"Close": func(s *scgi.Server) scgi.HandlerFunc {
			return func(w http.ResponseWriter, r *scgi.Request) {
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
				s.Close()
			}
		},
	} {
		for _, kind := range []string{"tcp", "tcp portable"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				l := listen(t, kind)
				ended := make(chan bool)
				s := &scgi.Server{}
				inner := h(s)
				s.Handler = scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
					defer close(ended)
					inner(w, r)
				})
				start(t, s, l)
				c := dial(t, l.Addr())
				io.WriteString(c, get("/"))
				<-ended // read the reply only now
				if raw, err := io.ReadAll(c); err == nil {
					t.Errorf("the truncated reply of %d bytes looks whole", len(raw))
				}
			})
		}
	}
}

func TestGonePeerIsNotLogged(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		gone, failed := make(chan bool), make(chan bool)
		log := start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			defer close(failed)
			<-gone
			for range 100 {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
			t.Error("writing never failed")
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		c.Close()
		gone <- true
		<-failed
		if log.String() != "" {
			t.Errorf("the log says %s", log)
		}
	})
}

// A handler's early reply arrives while its peer is still sending.
func TestEarlyReplyArrives(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })}, l)
		body := strings.Repeat("x", 8<<20)
		for range 5 {
			if r := parseReply(t, ask(t, l.Addr(), post("/", body))); r.Status != 413 {
				t.Errorf("%+v", r)
			}
		}
	})
}

// A peer such as Apache reads nothing until it has sent everything. It still gets a long
// reply from a handler that does not read the body.
func TestLongReplyDropsUnreadBody(t *testing.T) {
	for _, kind := range []string{"tcp", "unix portable"} { // each subtest takes a second
		const size = 16 << 20
		l := listen(t, kind)
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			if n, err := w.Write(make([]byte, size)); n != size || err != nil {
				t.Errorf("the write failed: %d, %v", n, err)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != http.ErrBodyReadAfterClose {
				t.Errorf("reading the dropped body: %v", err)
			}
		})}, l)
		c := dial(t, l.Addr())
		if _, err := io.WriteString(c, post("/", strings.Repeat("x", 2*size))); err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(c)
		if r := parseReply(t, string(raw)); err != nil || r.Status != 413 || len(r.Body) != size {
			t.Errorf("%d with %d bytes, %v", r.Status, len(r.Body), err)
		}
	}
}

// A body that never comes holds no worker if the handler does not read it: for auth_request,
// nginx from 1.29.6 on announces the client's body and sends none.
func TestBodyThatNeverComesHoldsNoWorker(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &scgi.Server{MaxWorkers: 1, Handler: scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		}))}, l)
		request := post("/auth", strings.Repeat("x", 100000))
		for range 5 { // the clients keep their connections open
			c := dial(t, l.Addr())
			io.WriteString(c, request[:len(request)-100000])
			if raw, err := io.ReadAll(c); err != nil || parseReply(t, string(raw)).Status != 204 {
				t.Errorf("%q, %v", raw, err)
			}
		}
	})
}
