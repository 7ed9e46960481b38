package scgi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/scgi"
)

func TestShutdownBeforeServe(t *testing.T) {
	for _, end := range []func(*scgi.Server) error{(*scgi.Server).Close, func(s *scgi.Server) error { return s.Shutdown(context.Background()) }} {
		var s scgi.Server
		if err := end(&s); err != nil {
			t.Error(err)
		}
		l := listen(t, "unix")
		if err := s.Serve(l); err != scgi.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
		if _, err := net.Dial("unix", l.Addr().String()); err == nil {
			t.Error("the listener was not closed")
		}
		if err := s.ListenAndServe("127.0.0.1:0"); err != scgi.ErrServerClosed {
			t.Errorf("ListenAndServe returned %v", err)
		}
		if err := end(&s); err != nil {
			t.Errorf("again: %v", err)
		}
	}
}

// Shutdown serves running requests to their end, and also those in the kernel's backlog
// instead of resetting them.
func TestShutdownServesBacklog(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		leakCheck(t)
		const queued = 20
		inHandler, release := make(chan bool), make(chan bool)
		s := &scgi.Server{MaxConns: 1, MaxWorkers: 1, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			if r.Env.Get("REQUEST_URI") == "/first" {
				inHandler <- true
				<-release
			}
			io.WriteString(w, "done")
		})}
		stopping := make(chan bool)
		s.RegisterOnShutdown(func() { close(stopping) })
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
			send("/queued") // MaxConns keeps these in the backlog
		}
		done := make(chan error)
		go func() { done <- s.Shutdown(within(patience)) }()
		<-stopping
		close(release)
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != scgi.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		for range queued + 1 {
			if r := <-replies; !strings.HasSuffix(r, "done<nil>") {
				t.Errorf("a reply was %q", r)
			}
		}
		if _, err := net.Dial(l.Addr().Network(), l.Addr().String()); err == nil {
			t.Error("the server still listens")
		}
	})
}

// Shutdown serves connections made before it, even if they send their request after it.
func TestShutdownServesEarlierConnections(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &scgi.Server{Handler: echo}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		ask(t, l.Addr(), get("/"))
		var young []net.Conn
		for range 20 {
			young = append(young, dial(t, l.Addr()))
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(within(patience)) }()
		<-time.After(20 * time.Millisecond) // by then a server that does not wait has closed its listener
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

func TestShutdownStopsWithContext(t *testing.T) {
	l := listen(t, "unix")
	hold := make(chan bool)
	inHandler := make(chan *scgi.Request)
	s := &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
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
	if err := s.Shutdown(within(patience)); err != nil {
		t.Errorf("Shutdown after Close: %v", err)
	}
	if err := <-served; err != scgi.ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
}

func TestRegisterOnShutdownEndsStreams(t *testing.T) {
	l := listen(t, "unix")
	streaming, ending := make(chan bool), make(chan bool)
	s := &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
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

// Close drops requests that wait for a worker, without calling a handler.
func TestCloseDropsWaitingRequests(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		leakCheck(t)
		began, release := make(chan string, 2), make(chan bool)
		s := &scgi.Server{MaxWorkers: 1, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			began <- r.Env.Get("REQUEST_URI")
			<-release
		})}
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		for _, uri := range []string{"/first", "/second"} {
			c := dial(t, l.Addr())
			io.WriteString(c, get(uri))
			defer c.Close()
			if uri == "/first" {
				<-began
			}
		}
		for s.Stats().Waiting == 0 {
			runtime.Gosched()
		}
		s.Close()
		if err := <-served; err != scgi.ErrServerClosed {
			t.Error(err)
		}
		close(release)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if len(began) > 0 {
			t.Errorf("the handler ran for %s", <-began)
		}
	})
}

// Close does not truncate a reply that was sent, even if the peer is still sending.
func TestCloseKeepsSentReplies(t *testing.T) {
	for _, kind := range []string{"tcp", "tcp portable"} {
		l := listen(t, kind)
		replied := make(chan bool)
		s := &scgi.Server{
			Handler:   scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { io.WriteString(w, "whole") }),
			AccessLog: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) { close(replied); return len(p), nil }), nil)),
		}
		start(t, s, l)
		c := dial(t, l.Addr())
		request := post("/", "body")
		io.WriteString(c, request[:len(request)-1])
		<-replied
		s.Close()
		if raw, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(raw), "whole") {
			t.Errorf("%s: %q, %v", kind, raw, err)
		}
	}
}

// spiedListener passes each read deadline of its connections to set, with the number of the
// call.
type spiedListener struct {
	net.Listener
	set func(call int64, t time.Time, set func(time.Time) error) error
}

func (l *spiedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &spiedConn{Conn: c, l: l}, nil
}

type spiedConn struct {
	net.Conn
	l     *spiedListener
	calls atomic.Int64
}

func (c *spiedConn) SetReadDeadline(t time.Time) error {
	return c.l.set(c.calls.Add(1), t, c.Conn.SetReadDeadline)
}

// The time that Shutdown leaves for a header does not shorten the wait for a body whose
// header arrives at that moment.
func TestShutdownDoesNotShortenBodyTimeout(t *testing.T) {
	var client net.Conn
	var last atomic.Int64 // the deadline, in Unix seconds
	waits, reads, shut := make(chan struct{}), make(chan struct{}), make(chan struct{})
	l := &spiedListener{listen(t, "tcp net"), func(call int64, at time.Time, set func(time.Time) error) error {
		switch call {
		case 1: // for the header
			defer close(waits)
		case 2: // set by Shutdown
			defer close(shut)
			io.WriteString(client, "24:CONTENT_LENGTH\x001\x00SCGI\x001\x00,")
			select {
			case <-reads:
			case <-time.After(50 * time.Millisecond): // the request may be waiting for Shutdown
			}
		case 4: // for the body
			defer close(reads)
		}
		last.Store(at.Unix())
		return set(at)
	}}
	s := &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { io.Copy(w, r.Body) })}
	start(t, s, l)
	client = dial(t, l.Addr())
	<-waits
	ended := make(chan error)
	go func() { ended <- s.Shutdown(context.Background()) }()
	<-shut
	<-reads
	if left := time.Until(time.Unix(last.Load(), 0)); left < scgi.DefaultReadTimeout/2 {
		t.Errorf("the body has %v left", left)
	}
	io.WriteString(client, "x")
	if reply, err := io.ReadAll(client); !strings.HasSuffix(string(reply), "x") || err != nil {
		t.Errorf("got %q, %v", reply, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A connection stays open until its TCP peer has taken the whole reply: the kernel soon
// gives up on a closed connection whose peer stops reading.
func TestShutdownWaitsForSlowReader(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux reports what a peer has taken")
	}
	for _, kind := range []string{"tcp", "tcp net"} {
		t.Run(kind, func(t *testing.T) {
			leakCheck(t)
			const size = 1 << 20
			ended := make(chan bool, 1)
			s := &scgi.Server{
				AccessLog: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
					ended <- true
					return len(p), nil
				}), nil)),
				Handler: scgi.HandlerFunc(func(w http.ResponseWriter, _ *scgi.Request) { w.Write(make([]byte, size)) }),
			}
			l := listen(t, kind)
			start(t, s, l)
			client := dial(t, l.Addr())
			if err := client.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
				t.Fatal(err)
			}
			io.WriteString(client, get("/"))
			<-ended
			shut := make(chan error, 1)
			go func() { shut <- s.Shutdown(context.Background()) }()
			select {
			case <-shut:
				t.Error("the connection was closed")
				shut <- nil
			case <-time.After(50 * time.Millisecond): // the server must wait
			}
			if reply, err := io.ReadAll(client); len(reply) < size || err != nil {
				t.Errorf("the peer got %d bytes, %v", len(reply), err)
			}
			client.Close()
			if err := <-shut; err != nil {
				t.Error(err)
			}
		})
	}
}
