package scgi

// conn_test.go owns what a handler sees of its connection: addresses, what is
// left of it after Hijack, and its end under a reply.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A hijacked connection is package net's in all that a handler can ask of it.
func TestHijackedConn(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		done := make(chan struct{})
		start(t, &Server{RequestTimeout: time.Hour, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			defer close(done)
			control := http.NewResponseController(w)
			c, rw, err := control.Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, _, err := control.Hijack(); err != http.ErrHijacked {
				t.Errorf("a second Hijack: %v", err)
			}
			if got, want := c.LocalAddr(), l.Addr(); got.Network() != want.Network() || got.Network() == "tcp" && got.String() != want.String() {
				t.Errorf("LocalAddr: %v, not %v", got, want)
			}
			if c.RemoteAddr().Network() != l.Addr().Network() {
				t.Errorf("RemoteAddr: %v", c.RemoteAddr())
			}
			io.Copy(c, rw)
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			checkClosed(t, c)
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		io.WriteString(c, "tunnel")
		c.(interface{ CloseWrite() error }).CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "tunnel" || err != nil {
			t.Errorf("%q came back, %v", got, err)
		}
		<-done
	})
}

// The server adds nothing to a connection that outlives its handler.
func TestHijackedConnIsLeftAlone(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		hijacked := make(chan net.Conn, 1)
		s := &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			hijacked <- c
		})}
		start(t, s, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		server := <-hijacked
		for s.Stats().Served == 0 {
			runtime.Gosched()
		}
		io.WriteString(server, "tunnel")
		server.Close()
		if got, err := io.ReadAll(c); string(got) != "tunnel" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// checkClosed checks that everything fails on a closed connection, in the same
// way.
func checkClosed(t *testing.T, c net.Conn) {
	t.Helper()
	fails := map[string]error{
		"Close":            c.Close(),
		"CloseWrite":       c.(interface{ CloseWrite() error }).CloseWrite(),
		"SetDeadline":      c.SetDeadline(time.Now()),
		"SetReadDeadline":  c.SetReadDeadline(time.Now()),
		"SetWriteDeadline": c.SetWriteDeadline(time.Now()),
	}
	if linger, ok := c.(interface{ SetLinger(int) error }); ok {
		fails["SetLinger"] = linger.SetLinger(0)
	}
	_, fails["Read"] = c.Read(make([]byte, 1))
	_, fails["Write"] = c.Write(make([]byte, 1))
	for name, err := range fails {
		var op *net.OpError
		if !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) {
			t.Errorf("%s on a closed connection: %v", name, err)
		}
	}
}

// The collector closes a hijacked connection that its handler has forgotten.
func TestForgottenHijackedConnIsClosed(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			if _, _, err := http.NewResponseController(w).Hijack(); err != nil {
				t.Error(err)
			}
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		ended := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
		for end := time.Now().Add(patience); ; {
			runtime.GC()
			select {
			case err := <-ended:
				if err != io.EOF {
					t.Error(err)
				}
				return
			default:
			}
			if time.Now().After(end) {
				t.Fatal("it is still open")
			}
		}
	})
}

// Goroutines that write to a hijacked connection at the same time do not mix their
// bytes.
func TestHijackedConnWritesWhole(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		const size, times = 1 << 20, 4
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			var writing sync.WaitGroup
			for _, letter := range []string{"a", "b"} {
				writing.Go(func() {
					for range times {
						io.WriteString(c, strings.Repeat(letter, size))
					}
				})
			}
			writing.Wait()
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		block := make([]byte, size)
		for range 2 * times {
			if _, err := io.ReadFull(c, block); err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(block, block[:1]); n != size {
				t.Fatalf("of %d bytes %d are %q", size, n, block[0])
			}
		}
	})
}

func TestIPv6(t *testing.T) {
	l, err := Listen("[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	local, remote := make(chan string, 1), make(chan string, 1)
	start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
		remote <- r.RemoteAddr().String()
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		local <- c.LocalAddr().String()
		c.Close()
	})}, l)
	c := dial(t, l.Addr())
	io.WriteString(c, get("/"))
	if got := <-remote; got != c.LocalAddr().String() {
		t.Errorf("RemoteAddr: %s, not %v", got, c.LocalAddr())
	}
	if got := <-local; got != c.RemoteAddr().String() {
		t.Errorf("LocalAddr: %s, not %v", got, c.RemoteAddr())
	}
}

// A file is not sent on to a peer that is gone, and the handler is told.
func TestFileToAPeerThatGoes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 1<<30); err != nil {
		t.Fatal(err)
	}
	onEachKind(t, func(t *testing.T, l net.Listener) {
		ended := make(chan error, 2)
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			f, _ := os.Open(name)
			defer f.Close()
			_, err := io.Copy(w, f)
			_, again := io.WriteString(w, "more")
			ended <- errors.Join(err, r.Context().Err())
			ended <- again
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		io.ReadFull(c, make([]byte, 1000))
		c.Close()
		if err := <-ended; !errors.Is(err, context.Canceled) || err == context.Canceled {
			t.Errorf("the handler is told %v", err)
		}
		if err := <-ended; err == nil {
			t.Error("more can be written")
		}
	})
}

// Close drops what waits for a worker, without a handler.
func TestCloseWhileWaiting(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		leakCheck(t)
		began, release := make(chan string, 2), make(chan bool)
		s := &Server{MaxWorkers: 1, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
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
		if err := <-served; err != ErrServerClosed {
			t.Error(err)
		}
		close(release)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if len(began) > 0 {
			t.Errorf("the handler was called for %s", <-began)
		}
	})
}

func TestBaseContextMustNotBeNil(t *testing.T) {
	l := listen(t, "unix")
	defer l.Close()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	(&Server{BaseContext: func(net.Listener) context.Context { return nil }}).Serve(l)
}

func TestConnContextMustNotBeNil(t *testing.T) {
	l := listen(t, "unix")
	s := &Server{ConnContext: func(context.Context, net.Conn) context.Context { return nil }}
	defer s.Close()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	dial(t, l.Addr())
	s.Serve(l)
}

func TestListenAndServe(t *testing.T) {
	addr := filepath.Join(shortTempDir(t), "s")
	listening := make(chan bool, 1)
	s := &Server{Handler: echo, BaseContext: func(net.Listener) context.Context {
		listening <- true
		return context.Background()
	}}
	served := make(chan error)
	go func() { served <- s.ListenAndServe("unix:" + addr) }()
	<-listening
	if r := parseReply(t, ask(t, &net.UnixAddr{Name: addr, Net: "unix"}, post("/", "body"))); r.Body != "body" {
		t.Errorf("%+v", r)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != ErrServerClosed {
		t.Error(err)
	}
	if err := ListenAndServe("unix:"+addr+"/not/a/folder", nil); err == nil || err == ErrServerClosed {
		t.Errorf("without a folder: %v", err)
	}
}
