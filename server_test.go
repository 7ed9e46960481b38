package scgi_test

import (
	"context"
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

func TestServeReturnsWhenItsListenerIsClosed(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		served := make(chan error)
		var s scgi.Server
		go func() { served <- s.Serve(l) }()
		ask(t, l.Addr(), get("/"))
		l.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
		s.Close()
	})
}

func TestManyListeners(t *testing.T) {
	var s scgi.Server
	served := make(chan error)
	var addrs []net.Addr
	for _, kind := range kinds {
		l := listen(t, kind)
		addrs = append(addrs, l.Addr())
		go func() { served <- s.Serve(l) }()
	}
	for _, addr := range addrs {
		if r := parseReply(t, ask(t, addr, get("/"))); r.Status != 200 {
			t.Errorf("%v: %+v", addr, r)
		}
	}
	if err := s.Shutdown(within(patience)); err != nil {
		t.Error(err)
	}
	for range kinds {
		if err := <-served; err != scgi.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	}
}

// failingListener returns a few errors before it works.
type failingListener struct {
	net.Listener
	fails []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if len(l.fails) > 0 {
		err := l.fails[0]
		l.fails = l.fails[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return l.Listener.Accept()
}

func TestServeRetriesTemporaryAcceptErrors(t *testing.T) {
	l := &failingListener{listen(t, "unix"), []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.EMFILE}}
	log := start(t, &scgi.Server{}, l)
	if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
		t.Errorf("%+v", r)
	}
	if n := strings.Count(log.String(), "accept failed"); n != 5 {
		t.Errorf("%d failures were logged", n)
	}
	var s scgi.Server
	if err := s.Serve(&failingListener{listen(t, "unix"), []error{syscall.EINVAL}}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("another error ends Serve with %v", err)
	}
	s.Close()
}

func TestMaxWorkers(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		const max, requests = 3, 50
		s := &scgi.Server{MaxWorkers: max, Handler: scgi.HandlerFunc(func(http.ResponseWriter, *scgi.Request) { runtime.Gosched() })}
		start(t, s, l)
		var wg sync.WaitGroup
		for range requests {
			wg.Go(func() { ask(t, l.Addr(), get("/")) })
		}
		wg.Wait()
		if most := s.Stats().MostBusy; most > max {
			t.Errorf("%d handlers ran at once", most)
		}
	})
}

// sharedListener reports that other processes accept from it too.
type sharedListener struct{ net.Listener }

func (sharedListener) IsShared() bool { return true }

// Above MaxConns, connections stay in the backlog. On a shared listener they do so while no
// worker is free, unless MaxConns says otherwise. (On other listeners the kernel may hold
// back connections that have sent nothing, so fewer may be open.)
func TestMaxConns(t *testing.T) {
	for _, test := range []struct {
		maxConns int
		shared   bool
		most     int64
	}{{2, false, 2}, {2, true, 2}, {0, true, 1}} {
		onEachKind(t, func(t *testing.T, l net.Listener) {
			if test.shared {
				l = sharedListener{l}
			}
			s := &scgi.Server{MaxWorkers: 1, MaxConns: test.maxConns}
			start(t, s, l)
			var waiting []net.Conn
			for range 5 {
				waiting = append(waiting, dial(t, l.Addr()))
			}
			for _, c := range waiting { // the first connections end only now
				io.WriteString(c, get("/"))
				if reply, err := io.ReadAll(c); err != nil || len(reply) == 0 {
					t.Errorf("%q, %v", reply, err)
				}
				c.Close()
			}
			if most := s.Stats().MostOpen; most > test.most || test.shared && most < test.most {
				t.Errorf("%+v: %d connections were open at once", test, most)
			}
		})
	}
}

// Every listener learns that there is room, even if another one has nothing to accept.
func TestMaxConnsOfTwoListeners(t *testing.T) {
	a, b := listen(t, "unix"), listen(t, "unix")
	held := make(chan bool)
	s := &scgi.Server{MaxConns: 2, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
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
	long, first, second := hold(a), hold(a), hold(b) // now both listeners wait for room
	first()
	second()
	for _, l := range []net.Listener{a, b} {
		if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
			t.Errorf("%+v", r)
		}
	}
	long()
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan bool)
		s := &scgi.Server{MaxWorkers: 1, MaxQueue: 2, QueueTimeout: 10 * time.Second, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { <-hold })}
		dial := pipeServer(t, s)
		var replies []chan string
		for range 5 {
			replies = append(replies, exchangeOn(dial(), get("/")))
			synctest.Wait()
		}
		for _, i := range []int{3, 4} { // over MaxQueue, refused at once
			if r := parseReply(t, <-replies[i]); r.Status != 503 || r.Header.Get("Retry-After") != "1" {
				t.Errorf("request %d: %+v", i, r)
			}
		}
		if st := s.Stats(); st.Waiting != 2 || st.MostWaiting != 2 || st.Busy != 1 || st.Refused[503] != 2 {
			t.Errorf("%+v", st)
		}
		began := time.Now()
		for _, i := range []int{1, 2} { // refused after QueueTimeout
			if r := parseReply(t, <-replies[i]); r.Status != 503 || time.Since(began) != 10*time.Second {
				t.Errorf("request %d: %+v after %v", i, r, time.Since(began))
			}
		}
		late := exchangeOn(dial(), get("/"))
		synctest.Wait()
		hold <- true
		hold <- true
		for _, reply := range []chan string{replies[0], late} {
			if r := parseReply(t, <-reply); r.Status != 200 {
				t.Errorf("%+v", r)
			}
		}
	})
}

// At four times the load that the workers can carry, requests that are served wait no longer
// than QueueTimeout, and the others are refused within it.
func TestOverloadKeepsLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			workers  = 4
			work     = 100 * time.Millisecond
			patience = time.Second // QueueTimeout
			seconds  = 10
		)
		s := &scgi.Server{MaxWorkers: workers, QueueTimeout: patience, Logger: slog.New(slog.DiscardHandler),
			Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { time.Sleep(work) })}
		dial := pipeServer(t, s)
		type outcome struct {
			status int
			took   time.Duration
		}
		const capacity = int(seconds * time.Second / work * workers)
		outcomes := make(chan outcome, 4*capacity)
		for range 4 * capacity {
			c, began := dial(), time.Now()
			go func() {
				r := parseReply(t, <-exchangeOn(c, get("/")))
				outcomes <- outcome{r.Status, time.Since(began)}
			}()
			time.Sleep(work / workers / 4)
		}
		served := 0
		for range 4 * capacity {
			o := <-outcomes
			switch {
			case o.status == 200 && o.took <= patience+work:
				served++
			case o.status == 503 && o.took <= patience:
			default:
				t.Errorf("%d after %v", o.status, o.took)
			}
		}
		if served < capacity {
			t.Errorf("%d were served, of %d that the workers can serve", served, capacity)
		}
	})
}

func TestBaseContext(t *testing.T) {
	type key struct{}
	l := listen(t, "unix")
	base, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "v"))
	_, ctx, release := asked(t, &scgi.Server{BaseContext: func(got net.Listener) context.Context {
		if got != l {
			t.Error("BaseContext got another listener")
		}
		return base
	}}, l, get("/"))
	if ctx.Value(key{}) != "v" {
		t.Error("the base context's value is missing")
	}
	if _, ok := ctx.Deadline(); ok || ctx.Err() != nil {
		t.Error("the context has a deadline or ended early")
	}
	if ctx.Value(key{}) != "v" {
		t.Error("the base context's value is gone")
	}
	cancel()
	<-ctx.Done()
	release()
}

func TestBaseContextMustNotBeNil(t *testing.T) {
	l := listen(t, "unix")
	defer l.Close()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	(&scgi.Server{BaseContext: func(net.Listener) context.Context { return nil }}).Serve(l)
}

func TestConnContext(t *testing.T) {
	type baseKey struct{}
	type connKey struct{}
	onEachKind(t, func(t *testing.T, l net.Listener) {
		peer, ctx, release := asked(t, &scgi.Server{
			BaseContext: func(net.Listener) context.Context {
				return context.WithValue(context.Background(), baseKey{}, "base")
			},
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				return context.WithValue(ctx, connKey{}, c.RemoteAddr().Network())
			},
		}, l, get("/"))
		defer release()
		if got, want := ctx.Value(connKey{}), peer.LocalAddr().Network(); got != want {
			t.Errorf("ConnContext's value is %q, want %q", got, want)
		}
		if got := ctx.Value(baseKey{}); got != "base" {
			t.Errorf("BaseContext's value is %v", got)
		}
	})
}

func TestConnContextMustNotBeNil(t *testing.T) {
	l := listen(t, "unix")
	s := &scgi.Server{ConnContext: func(context.Context, net.Conn) context.Context { return nil }}
	defer s.Close()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	dial(t, l.Addr())
	s.Serve(l)
}

// ConnContext gets a context with ServerContextKey, and the handler does too, whatever
// BaseContext returns.
func TestServerContextKeyEverywhere(t *testing.T) {
	type key struct{}
	l := listen(t, "unix")
	s := &scgi.Server{
		BaseContext: func(net.Listener) context.Context { return context.WithValue(t.Context(), key{}, "base") },
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			if _, ok := ctx.Value(http.ServerContextKey).(*http.Server); !ok {
				t.Error("ConnContext's context has no server")
			}
			return ctx
		},
		Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			_, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
			fmt.Fprint(w, ok, r.Context().Value(key{}), r.Context().Value(http.LocalAddrContextKey).(net.Addr).Network())
		}),
	}
	start(t, s, l)
	if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Body != "truebaseunix" {
		t.Errorf("%+v", r)
	}
}
