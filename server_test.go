package scgi

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
	"time"
)

func TestShutdownBeforeServe(t *testing.T) {
	for _, end := range []func(*Server) error{(*Server).Close, func(s *Server) error { return s.Shutdown(context.Background()) }} {
		var s Server
		if err := end(&s); err != nil {
			t.Error(err)
		}
		l := listen(t, "unix")
		if err := s.Serve(l); err != ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
		if _, err := net.Dial("unix", l.Addr().String()); err == nil {
			t.Error("the listener was not closed")
		}
		if err := s.ListenAndServe("127.0.0.1:0"); err != ErrServerClosed {
			t.Errorf("ListenAndServe returned %v", err)
		}
		if err := end(&s); err != nil {
			t.Errorf("again: %v", err)
		}
	}
}

func TestServeReturnsWhenItsListenerIsClosed(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		served := make(chan error)
		var s Server
		go func() { served <- s.Serve(l) }()
		ask(t, l.Addr(), get("/"))
		l.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
		s.Close()
	})
}

func TestRegisterOnShutdownEndsStreams(t *testing.T) {
	l := listen(t, "unix")
	streaming, ending := make(chan bool), make(chan bool)
	s := &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
		close(streaming)
		<-ending
		io.WriteString(w, "bye")
	})}
	s.RegisterOnShutdown(func() { close(ending) })
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	reply := make(chan string)
	go func() { reply <- ask(t, l.Addr(), get("/")) }()
	<-streaming
	if err := s.Shutdown(within(10 * time.Second)); err != nil {
		t.Error(err)
		close(ending)
	}
	if r := parseReply(t, <-reply); r.Body != "bye" {
		t.Errorf("%+v", r)
	}
	<-served
}

// A request under way is served to its end, and those that wait in the
// kernel's backlog are served too, not reset.
func TestShutdownServesWhatWaits(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		leakCheck(t)
		const queued = 20
		inHandler, release := make(chan bool), make(chan bool)
		s := &Server{MaxConns: 1, MaxWorkers: 1, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			if r.Env.Get("REQUEST_URI") == "/first" {
				inHandler <- true
				<-release
			}
			io.WriteString(w, "done")
		})}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		replies := make(chan string, queued+1)
		send := func(uri string) {
			c := dial(t, l.Addr())
			io.WriteString(c, get(uri))
			go func() {
				reply, err := io.ReadAll(c)
				replies <- fmt.Sprint(string(reply), err)
			}()
		}
		send("/first")
		<-inHandler
		for range queued {
			send("/queued") // MaxConns keeps them in the backlog
		}
		done := make(chan error)
		go func() { done <- s.Shutdown(within(patience)) }()
		<-s.stopping.Done()
		close(release)
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		for range queued + 1 {
			if r := <-replies; !strings.HasSuffix(r, "done<nil>") {
				t.Errorf("a reply was %q", r)
			}
		}
		if _, err := net.Dial(l.Addr().Network(), l.Addr().String()); err == nil {
			t.Error("it still listens")
		}
	})
}

// Connections that were made before Shutdown are served, also if they send their
// request only after it.
func TestShutdownServesYoungConnections(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &Server{Handler: echo}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		ask(t, l.Addr(), get("/"))
		var young []net.Conn
		for range 20 {
			young = append(young, dial(t, l.Addr()))
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(within(patience)) }()
		<-time.After(20 * time.Millisecond) // a server that does not wait has closed its listener by then
		for i, c := range young {
			io.WriteString(c, get("/"))
			if raw, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(raw), "Status: 200 ") {
				t.Errorf("connection %d got %q, %v", i, raw, err)
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		<-served
	})
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	l := listen(t, "unix")
	hold := make(chan bool)
	inHandler := make(chan *Request)
	s := &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
		inHandler <- r
		<-hold
	})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c := dial(t, l.Addr())
	io.WriteString(c, get("/"))
	r := <-inHandler
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); err != context.Canceled {
		t.Errorf("Shutdown: %v", err)
	}
	if r.Context().Err() != nil {
		t.Error("Shutdown cancelled a request")
	}
	s.Close()
	<-r.Context().Done()
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	close(hold)
	<-s.drained
	if err := <-served; err != ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
}

func TestManyListeners(t *testing.T) {
	var s Server
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
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	}
}

func TestNilHandlerPrintsTheVariables(t *testing.T) {
	l := listen(t, "unix")
	start(t, &Server{}, l)
	r := parseReply(t, ask(t, l.Addr(), encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "B", "a\r\nFAKE: 1", "A\n", "2")))
	want := "CONTENT_LENGTH: \"0\"\nSCGI: \"1\"\nB: \"a\\r\\nFAKE: 1\"\nA\\n: \"2\"\n"
	if r.Body != want || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%q, want %q", r.Body, want)
	}
}

func TestPanics(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &Server{MaxWorkers: 2, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
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
		for _, want := range []string{"the handler's word", "method=GET", "uri=/panic", "uri=/goexit", "stack=", "server_test.go"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in the log", want)
			}
		}
		if strings.Contains(text, "/abort") {
			t.Error("ErrAbortHandler was logged")
		}
	})
}

// Connections that have not sent their header hold no worker.
func TestRefusalsSayWhy(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &Server{}
		log := start(t, s, l)
		raw := ask(t, l.Addr(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if !strings.HasPrefix(raw, "HTTP/1.1 400 ") || !strings.Contains(raw, "SCGI") {
			t.Errorf("HTTP is answered with %q", raw)
		}
		if raw := ask(t, l.Addr(), "\x16\x03\x01\x02\x00\x01\x00"); raw != tlsAlert {
			t.Errorf("TLS is answered with %q", raw)
		}
		r := parseReply(t, ask(t, l.Addr(), encode("", "CONTENT_LENGTH", "0")))
		if r.Status != 400 || !strings.Contains(r.Body, "include scgi_params") || strings.Count(r.Body, "\n") != 1 {
			t.Errorf("without SCGI: %+v", r)
		}
		if n := strings.Count(log.String(), "\n"); n != 3 || s.Stats().Refused[400] != 3 {
			t.Errorf("%d lines for %v refusals:\n%s", n, s.Stats().Refused, log)
		}
		if l.Addr().Network() == "tcp" && !strings.Contains(log.String(), "peer=127.0.0.1:") {
			t.Errorf("no peer in %s", log)
		}
	})
}

func TestEmptyConnectionsLeaveOnlyACount(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &Server{}
		log := start(t, s, l)
		for range 10 {
			c := dial(t, l.Addr())
			c.(interface{ CloseWrite() error }).CloseWrite()
			if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		}
		if st := s.Stats(); st.Empty != 10 || len(st.Refused) != 0 || log.String() != "" {
			t.Errorf("%+v, log %q", st, log)
		}
	})
}

// failingListener fails a few times before it works.
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

func TestTemporaryAcceptErrorsAreWaitedOut(t *testing.T) {
	l := &failingListener{listen(t, "unix"), []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.EMFILE}}
	log := start(t, &Server{}, l)
	if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
		t.Errorf("%+v", r)
	}
	if n := strings.Count(log.String(), "accept failed"); n != 5 {
		t.Errorf("%d failures were logged", n)
	}
	var s Server
	if err := s.Serve(&failingListener{listen(t, "unix"), []error{syscall.EINVAL}}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("another error ends Serve with %v", err)
	}
	s.Close()
}

// pipeServer serves on in-memory connections, for tests of time.
func TestLogsNothingOfPeersThatGo(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		gone, failed := make(chan bool), make(chan bool)
		log := start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
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

func TestManyPanicsLeakNothing(t *testing.T) {
	leakCheck(t)
	l := listen(t, "unix")
	s := &Server{MaxWorkers: 4, Logger: slog.New(slog.DiscardHandler), Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) { panic("again") })}
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

// A peer that reads nothing before it has sent everything, as Apache, gets a
// long reply to a body that the handler does not read.
func TestLongReplyToAnUnreadBody(t *testing.T) {
	for _, kind := range []string{"tcp", "unix portable"} { // each takes a second
		const size = 16 << 20
		l := listen(t, kind)
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			if n, err := w.Write(make([]byte, size)); n != size || err != nil {
				t.Errorf("the reply was not taken: %d, %v", n, err)
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
