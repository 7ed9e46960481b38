package scgi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi"
)

// asked serves one request. Its handler passes its context to the test and waits for
// release.
func asked(t *testing.T, s *scgi.Server, l net.Listener, request string) (peer net.Conn, ctx context.Context, release func()) {
	t.Helper()
	contexts, hold := make(chan context.Context), make(chan bool)
	s.Handler = scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		contexts <- r.Context()
		<-hold
		io.WriteString(w, "reply")
	})
	start(t, s, l)
	c := dial(t, l.Addr())
	io.WriteString(c, request)
	return c, <-contexts, func() { close(hold) }
}

func TestContextEndsWhenPeerGoes(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		leakCheck(t)
		peer, ctx, release := asked(t, &scgi.Server{}, l, get("/"))
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

// The peer is watched even while its body is unread, if the system can do that.
func TestContextEndsBehindUnreadBody(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system can't watch a socket without reading from it")
	}
	for _, kind := range []string{"unix", "tcp"} {
		peer, ctx, release := asked(t, &scgi.Server{}, listen(t, kind), post("/", strings.Repeat("x", 50000)))
		if ctx.Err() != nil {
			t.Error("cancelled too early")
		}
		peer.Close()
		<-ctx.Done()
		release()
	}
}

func TestHalfCloseKeepsContext(t *testing.T) {
	for _, test := range []struct {
		kind  string
		allow bool
		gone  bool
	}{{"unix", false, false}, {"unix portable", false, false}, {"tcp", true, false}, {"tcp portable", true, false}, {"tcp", false, true}, {"tcp portable", false, true}} {
		peer, ctx, release := asked(t, &scgi.Server{AllowHalfClose: test.allow}, listen(t, test.kind), get("/"))
		_ = ctx.Err() // starts the watch
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

// On a unix socket the server sees that a half-closed peer goes away.
func TestContextEndsAfterHalfClose(t *testing.T) {
	peer, ctx, release := asked(t, &scgi.Server{}, listen(t, "unix"), get("/"))
	peer.(interface{ CloseWrite() error }).CloseWrite()
	if ctx.Err() != nil {
		t.Error("a half-close cancelled the context")
	}
	peer.Close()
	<-ctx.Done()
	release()
}

func TestContextEndsWithHandler(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		leakCheck(t)
		peer, ctx, release := asked(t, &scgi.Server{}, l, get("/"))
		done := ctx.Done()
		release()
		<-done
		if r, _ := io.ReadAll(peer); !strings.HasSuffix(string(r), "reply") {
			t.Errorf("%q", r)
		}
	})
}

func TestContextEndsWithFailedWrite(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		ended := make(chan error)
		start(t, &scgi.Server{AllowHalfClose: true, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
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

func TestContextIsDoneAfterRequest(t *testing.T) {
	var kept *scgi.Request
	l := listen(t, "unix")
	start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { kept = r })}, l)
	ask(t, l.Addr(), get("/"))
	<-kept.Context().Done() // the first call of Done
	if err := kept.Context().Err(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The portable watch reads one byte at most, and Hijack returns that byte.
func TestReadAheadKeepsInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan string)
		dial := pipeServer(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			io.Copy(io.Discard, r.Body)
			if err := r.Context().Err(); err != nil {
				t.Error(err)
			}
			synctest.Wait() // until the watch has read the byte
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
			io.WriteString(c, "tunnel\n") // sent separately, so that it is not read with the header
		}()
		if line := <-got; line != "tunnel\n" {
			t.Errorf("%q", line)
		}
		c.Close()
	})
}

// On systems that can't watch a socket, the watch reads the end of input, and takes it for
// the peer's end unless half-closing is allowed.
func TestReadAheadSeesPeerGo(t *testing.T) {
	for _, allow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error)
			dial := pipeServer(t, &scgi.Server{AllowHalfClose: allow, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
				_ = r.Context().Err() // starts the watch
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
