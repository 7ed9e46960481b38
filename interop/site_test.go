package interop_test

// site_test.go puts web servers in front of a handler, with the stanza that a user copies
// and a socket opened as a user opens it. A test's servers end with the test and leave
// nothing behind.

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

// patience bounds every wait of a test.
const patience = time.Minute

var kinds = []webserver.Kind{webserver.Nginx, webserver.Lighttpd, webserver.Apache}

// A site is an app, and how a web server forwards requests to it.
type site struct {
	handler scgi.Handler
	maxBody int64                     // Server.MaxBodyBytes
	prefix  bool                      // mounted under /app, not at the root
	extra   map[webserver.Kind]string // more directives
	only    webserver.Kind            // empty means each of them

	writeTimeout time.Duration // Server.WriteTimeout
}

// A front is a web server with a site behind it.
type front struct {
	kind    webserver.Kind
	version webserver.Version
	network string // of the SCGI connections: tcp or unix
	addr    string // the address on which it serves HTTP
}

// each runs f with each web server in front of s, over TCP and over a unix socket.
func (s site) each(t *testing.T, f func(t *testing.T, fr front)) {
	for _, kind := range kinds {
		for _, network := range []string{"tcp", "unix"} {
			if s.only == "" || s.only == kind {
				t.Run(string(kind)+"/"+network, func(t *testing.T) {
					f(t, s.start(t, kind, network))
				})
			}
		}
	}
}

func (s site) start(t *testing.T, kind webserver.Kind, network string) front {
	t.Helper()
	webserver.Need(t, kind)
	stanza := string(kind) + ".conf"
	if s.prefix {
		stanza = string(kind) + "-prefix.conf"
	}
	backend := serve(t, &scgi.Server{Handler: s.handler, MaxBodyBytes: s.maxBody, WriteTimeout: s.writeTimeout}, network)
	addr := webserver.Start(t, kind, webserver.Config{
		Stanza:  filepath.Join("testdata", stanza),
		Backend: backend,
		Extra:   s.extra[kind],
	})
	return front{kind, webserver.VersionOf(t, kind), network, addr}
}

// serve runs srv until the test ends. At that point nothing may be left open.
func serve(t *testing.T, srv *scgi.Server, network string) net.Addr {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = "unix:" + filepath.Join(webserver.TempDir(t), "app.sock") + "?mode=0666"
	}
	l, err := scgi.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	srv.Logger = logTo(t)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
			_ = srv.Close()
		}
		if err := <-served; !errors.Is(err, scgi.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr()
}

// direct serves h with net/http and returns the address.
func direct(t *testing.T, h http.Handler) (addr string) {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(logTo(t).Handler(), slog.LevelInfo)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// logTo returns a logger whose output is shown only if the test fails, since some tests
// panic on purpose.
func logTo(t *testing.T) *slog.Logger {
	var mu sync.Mutex
	var text bytes.Buffer
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if t.Failed() && text.Len() > 0 {
			t.Logf("the server's log:\n%s", text.Bytes())
		}
	})
	return slog.New(slog.NewTextHandler(lockedWriter{&mu, &text}, nil))
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

// receive waits for a handler's report.
func receive[T any](t *testing.T, c <-chan T, what string) (value T) {
	t.Helper()
	select {
	case value = <-c:
	case <-time.After(patience):
		t.Fatalf("timed out waiting for %s", what)
	}
	return value
}

// signal tells a waiting handler to go on.
func signal(t *testing.T, c chan<- struct{}) {
	t.Helper()
	select {
	case c <- struct{}{}:
	case <-time.After(patience):
		t.Fatal("timed out waiting for the handler")
	}
}
