// Package websocket tests WebSocket over SCGI with a WebSocket library. It is a module of
// its own, so that package scgi keeps depending on nothing.
package websocket

// websocket_test.go tests upgraded connections. nginx turns one into a tunnel, and lighttpd
// does from 1.4.74 on; the handler hijacks it as under net/http. Apache has no tunnel over
// SCGI.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
	"github.com/coder/websocket"
)

const (
	patience  = 20 * time.Second
	readLimit = 4 << 20
)

// echo sends each message back, and reports the error that ended the connection.
func echo(ended chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			ended <- err
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(readLimit)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for {
			kind, message, err := c.Read(ctx)
			if err == nil {
				err = c.Write(ctx, kind, message)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}
}

// A front is a web server and the network over which it connects to the app.
type front struct {
	kind    webserver.Kind
	network string
}

// serve puts h behind the web server and returns its URL.
func (fr front) serve(t *testing.T, h http.Handler) string {
	t.Helper()
	addr := "127.0.0.1:0"
	if fr.network == "unix" {
		addr = "unix:" + filepath.Join(webserver.TempDir(t), "app.sock") + "?mode=0666"
	}
	l, err := scgi.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &scgi.Server{Handler: scgi.HTTPHandler(h), Logger: slog.New(slog.DiscardHandler)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-served; !errors.Is(err, scgi.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return "http://" + webserver.Start(t, fr.kind, webserver.Config{
		Stanza:    filepath.Join("..", "testdata", string(fr.kind)+".conf"),
		Backend:   l.Addr(),
		WebSocket: true,
	})
}

// since has the first version of each web server that supports WebSocket over SCGI.
var since = map[webserver.Kind]webserver.Version{
	webserver.Nginx:    webserver.ParseVersion("1.22"), // the oldest version tried
	webserver.Lighttpd: webserver.ParseVersion("1.4.74"),
}

func onEach(t *testing.T, f func(ctx context.Context, t *testing.T, fr front)) {
	for kind, first := range since {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(string(kind)+"/"+network, func(t *testing.T) {
				if v := webserver.VersionOf(t, kind); v.Before(first) {
					t.Skipf("%s %v has no WebSocket over SCGI", kind, v)
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				f(ctx, t, front{kind, network})
			})
		}
	}
}

func dial(ctx context.Context, t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(readLimit)
	return c
}

func receive(ctx context.Context, t *testing.T, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-ctx.Done():
		t.Fatal("the handler has not returned")
		return nil
	}
}

func TestEcho(t *testing.T) {
	onEach(t, func(ctx context.Context, t *testing.T, fr front) {
		ended := make(chan error, 1)
		c := dial(ctx, t, fr.serve(t, echo(ended)))
		for _, size := range []int{0, 1, 125, 126, 65536, 1 << 20} {
			sent := bytes.Repeat([]byte{byte(size), 1, 2, 3}, size)[:size]
			if err := c.Write(ctx, websocket.MessageBinary, sent); err != nil {
				t.Fatal(err)
			}
			kind, got, err := c.Read(ctx)
			if err != nil || kind != websocket.MessageBinary || !bytes.Equal(got, sent) {
				t.Fatalf("%d bytes: got %d, %v, %v", size, len(got), kind, err)
			}
		}
		if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := receive(ctx, t, ended); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("the handler saw %v", err)
		}
	})
}

// When a client goes away without a close frame, the handler's read ends.
func TestClientGone(t *testing.T) {
	onEach(t, func(ctx context.Context, t *testing.T, fr front) {
		ended := make(chan error, 1)
		c := dial(ctx, t, fr.serve(t, echo(ended)))
		_ = c.CloseNow()
		err := receive(ctx, t, ended)
		var op *net.OpError
		if !errors.Is(err, io.EOF) && !errors.As(err, &op) {
			t.Errorf("the handler saw %v", err)
		}
	})
}

// A request without an upgrade is still served by net/http handlers.
func TestNoUpgrade(t *testing.T) {
	onEach(t, func(ctx context.Context, t *testing.T, fr front) {
		ended := make(chan error, 1)
		url := fr.serve(t, echo(ended))
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("got %s", resp.Status)
		}
		if receive(ctx, t, ended) == nil {
			t.Error("the handler accepted it as an upgrade")
		}
	})
}
