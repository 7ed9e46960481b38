package scgi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi/internal/socket"
)

// asked serves one request whose handler gives its context to the test and
// waits for the returned function.
func asked(t *testing.T, s *Server, l net.Listener, request string) (peer net.Conn, ctx context.Context, release func()) {
	t.Helper()
	contexts, hold := make(chan context.Context), make(chan bool)
	s.Handler = HandlerFunc(func(w http.ResponseWriter, r *Request) {
		contexts <- r.Context()
		<-hold
		io.WriteString(w, "reply")
	})
	start(t, s, l)
	c := dial(t, l.Addr())
	io.WriteString(c, request)
	return c, <-contexts, func() { close(hold) }
}

func TestContextEndsWhenThePeerGoes(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		leakCheck(t)
		peer, ctx, release := asked(t, &Server{}, l, get("/"))
		if ctx.Err() != nil {
			t.Error("cancelled too early")
		}
		derived, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		peer.Close()
		<-ctx.Done()
		<-derived.Done()
		if ctx.Err() != context.Canceled || context.Cause(derived) != context.Canceled {
			t.Errorf("%v, %v", ctx.Err(), context.Cause(derived))
		}
		release()
	})
}

// The peer is watched while its body is unread, where the system can.
func TestContextEndsBehindAnUnreadBody(t *testing.T) {
	for _, kind := range []string{"unix", "tcp"} {
		l := listen(t, kind)
		if _, ok := new(socket.Watch).Add(&newConn(&Server{}, dial(t, l.Addr())).Conn, true, nil); !ok {
			t.Skip("this system can't watch a socket without reading it")
		}
		peer, ctx, release := asked(t, &Server{}, listen(t, kind), post("/", strings.Repeat("x", 50000)))
		if ctx.Err() != nil {
			t.Error("cancelled too early")
		}
		peer.Close()
		<-ctx.Done()
		release()
	}
}

func TestHalfCloseIsNoAbort(t *testing.T) {
	for _, test := range []struct {
		kind  string
		allow bool
		gone  bool
	}{{"unix", false, false}, {"unix portable", false, false}, {"tcp", true, false}, {"tcp portable", true, false}, {"tcp", false, true}, {"tcp portable", false, true}} {
		peer, ctx, release := asked(t, &Server{AllowHalfClose: test.allow}, listen(t, test.kind), get("/"))
		_ = ctx.Err() // begin to watch
		peer.(interface{ CloseWrite() error }).CloseWrite()
		if test.gone {
			<-ctx.Done()
		}
		release()
		if reply, err := io.ReadAll(peer); !strings.HasSuffix(string(reply), "reply") || err != nil {
			t.Errorf("%+v: the reply is %q, %v", test, reply, err)
		}
	}
}

// On a unix socket a peer that has half-closed can still be seen to go.
func TestGoneAfterHalfClose(t *testing.T) {
	peer, ctx, release := asked(t, &Server{}, listen(t, "unix"), get("/"))
	peer.(interface{ CloseWrite() error }).CloseWrite()
	if ctx.Err() != nil {
		t.Error("a half-close cancelled")
	}
	peer.Close()
	<-ctx.Done()
	release()
}

func TestContextEndsWithTheHandler(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		leakCheck(t)
		peer, ctx, release := asked(t, &Server{}, l, get("/"))
		done := ctx.Done()
		release()
		<-done
		if r, _ := io.ReadAll(peer); !strings.HasSuffix(string(r), "reply") {
			t.Errorf("%q", r)
		}
	})
}

func TestContextEndsWithAFailedWrite(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		ended := make(chan error)
		start(t, &Server{AllowHalfClose: true, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					break
				}
			}
			ended <- r.Context().Err()
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		c.Read(make([]byte, 10))
		c.Close()
		if err := <-ended; err != context.Canceled {
			t.Error(err)
		}
	})
}

func TestConnContext(t *testing.T) {
	type baseKey struct{}
	type connKey struct{}
	onEachKind(t, func(t *testing.T, l net.Listener) {
		peer, ctx, release := asked(t, &Server{
			BaseContext: func(net.Listener) context.Context {
				return context.WithValue(context.Background(), baseKey{}, "base")
			},
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				return context.WithValue(ctx, connKey{}, c.RemoteAddr().Network())
			},
		}, l, get("/"))
		defer release()
		if got, want := ctx.Value(connKey{}), peer.LocalAddr().Network(); got != want {
			t.Errorf("the connection's value is %q, want %q", got, want)
		}
		if got := ctx.Value(baseKey{}); got != "base" {
			t.Errorf("the base's value is %v", got)
		}
	})
}

func TestBaseContext(t *testing.T) {
	type key struct{}
	l := listen(t, "unix")
	base, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "v"))
	_, ctx, release := asked(t, &Server{BaseContext: func(got net.Listener) context.Context {
		if got != l {
			t.Error("another listener")
		}
		return base
	}}, l, get("/"))
	if ctx.Value(key{}) != "v" {
		t.Error("the base's value is not there")
	}
	if _, ok := ctx.Deadline(); ok || ctx.Err() != nil {
		t.Error("a deadline, or an early end")
	}
	if ctx.Value(key{}) != "v" {
		t.Error("the base's value is gone")
	}
	cancel()
	<-ctx.Done()
	release()
}

// The portable watch takes one byte at most, and a hijacker gets it.
func TestReadAheadLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan string)
		dial := pipeServer(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			io.Copy(io.Discard, r.Body)
			if err := r.Context().Err(); err != nil {
				t.Error(err)
			}
			synctest.Wait() // the byte has been read ahead
			_, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			line, _ := rw.ReadString('\n')
			got <- line
		})})
		c := dial()
		go func() {
			io.WriteString(c, post("/", "body"))
			io.WriteString(c, "tunnel\n") // by itself, so that it is not read with the header
		}()
		if line := <-got; line != "tunnel\n" {
			t.Errorf("%q", line)
		}
		c.Close()
	})
}

// Without a system's help the end of a peer is read, unless it may be half of
// one.
func TestReadAheadSeesThePeerGo(t *testing.T) {
	for _, allow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error)
			dial := pipeServer(t, &Server{AllowHalfClose: allow, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
				_ = r.Context().Err() // begin to watch
				io.Copy(io.Discard, r.Body)
				ended <- nil
				synctest.Wait()
				ended <- r.Context().Err()
			})})
			c := dial()
			io.WriteString(c, post("/", "body"))
			<-ended
			c.Close()
			if err := <-ended; (err == context.Canceled) == allow {
				t.Errorf("AllowHalfClose %t: %v", allow, err)
			}
		})
	}
}

func TestContextAfterTheRequest(t *testing.T) {
	var kept *Request
	l := listen(t, "unix")
	start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) { kept = r })}, l)
	ask(t, l.Addr(), get("/"))
	<-kept.Context().Done() // asked for the first time only now
	if err := kept.Context().Err(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
