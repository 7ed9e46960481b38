package http_test

// behindscgi_test.go connects to net/http's own tests, for a run of TestNetHTTPServerTests.
// It reaches their server's handler over SCGI, through a gateway in front of a scgi.Server.

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	. "net/http"
	"slices"
	"testing"

	"example.com/scgi"
	"example.com/scgi/gateway"
)

// behindSCGI puts cst's handler behind SCGI. It is called before cst's server starts. If
// that server uses a fake network, for a synctest bubble, behindSCGI makes another one for
// SCGI.
func behindSCGI(t testing.TB, cst *clientServerTest) {
	fmt.Println("\nbehind SCGI:", t.Name())
	transport := new(gateway.Transport)
	var l net.Listener
	if cst.li != nil {
		fake := fakeNetListen()
		transport.Addr = "fake:1"
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return fake.connect(), nil }
		l = fake
	} else {
		var err error
		if l, err = scgi.Listen("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		transport.Addr = l.Addr().String()
	}
	config := cst.ts.Config
	h := config.Handler
	if h == nil {
		h = DefaultServeMux
	}
	s := &scgi.Server{
		Handler:     scgi.HTTPHandler(h),
		BaseContext: config.BaseContext,
		ConnContext: config.ConnContext,
		Logger:      slog.New(slog.NewTextHandler(errorLog{config}, nil)),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-served
	})
	config.Handler = transport.Handler()
}

// errorLog writes to the ErrorLog that a test inspects.
type errorLog struct{ config *Server }

func (l errorLog) Write(p []byte) (int, error) {
	l.config.ErrorLog.Print(string(p))
	return len(p), nil
}

// http1Only keeps only the mode in which the gateway speaks HTTP/1 to the client.
func http1Only(t testing.TB, modes []testMode) []testMode {
	if !slices.Contains(modes, http1Mode) {
		t.Skip("not a test of HTTP/1")
	}
	return []testMode{http1Mode}
}
