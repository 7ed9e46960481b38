//go:build linux

package load

// load_test.go runs the load against servers with known answers. It only asserts
// times that hold on a slow machine too.

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/scgi"
)

// serve serves handler in the given protocol and returns the address.
func serve(t *testing.T, protocol, network string, handler http.HandlerFunc) string {
	t.Helper()
	addr, prefix := "127.0.0.1:0", ""
	if network == "unix" {
		addr, prefix = filepath.Join(t.TempDir(), "s"), "unix:"
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	wg.Go(func() {
		switch protocol {
		case "scgi":
			scgi.Serve(l, scgi.HTTPHandler(handler))
		case "fcgi":
			fcgi.Serve(l, handler)
		default:
			http.Serve(l, handler)
		}
	})
	return prefix + l.Addr().String()
}

// Run and Ask send the whole request, and tell a 200 from any other status.
func TestProtocols(t *testing.T) {
	sizes := func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != 70000 || len(r.Header) < 12 || r.URL.Path != "/time" {
			w.WriteHeader(http.StatusTeapot)
		}
		io.WriteString(w, "fine")
	}
	for _, c := range []Config{{Protocol: "scgi"}, {Protocol: "fcgi"}, {Protocol: "fcgi", Keep: true}, {Protocol: "http"}, {Protocol: "http", Keep: true}} {
		for _, network := range []string{"unix", "tcp"} {
			c.Addr = serve(t, c.Protocol, network, sizes)
			c.Flight, c.Duration, c.HeaderBytes, c.BodyBytes = 3, 50*time.Millisecond, 10000, 70000
			r, err := Run(c)
			if err != nil || r.Requests < 3 || r.Failed != 0 || r.PerSecond <= 0 || r.At(50) <= 0 {
				t.Errorf("%s, kept %t, over %s: %+v, %v", c.Protocol, c.Keep, network, r, err)
			}
			if err := Ask(c); err != nil {
				t.Errorf("%s, kept %t, over %s: %v", c.Protocol, c.Keep, network, err)
			}
			c.BodyBytes = 1
			if r, err = Run(c); err != nil || r.Requests != 0 || r.Failed < 3 {
				t.Errorf("%s, kept %t, over %s: a 418 counted: %+v, %v", c.Protocol, c.Keep, network, r, err)
			}
			if Ask(c) == nil {
				t.Errorf("%s, kept %t, over %s: a 418 passed", c.Protocol, c.Keep, network)
			}
		}
	}
}

// A judge gives the same verdict however the reply is split into reads.
func TestJudges(t *testing.T) {
	kept := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
	closed := "Status: 200 OK\r\n\r\nok"
	record := string(appendRecord(nil, fcgiStdout, []byte(closed))) + string(appendRecord(nil, fcgiEnd, make([]byte, 8)))
	for _, c := range []struct {
		judge judge
		reply string
		eof   bool
	}{
		{keptHTTPReply, kept, false}, {keptHTTPReply, chunked, false}, {closedReply("Status: 200"), closed, true},
		{fcgiReply(true), record, false}, {fcgiReply(false), record, true},
	} {
		for n := range c.reply {
			if v := c.judge([]byte(c.reply[:n]), false); v != more {
				t.Errorf("%q: %v after %d bytes", c.reply, v, n)
			}
		}
		if v := c.judge([]byte(c.reply), c.eof); v != good {
			t.Errorf("%q: %v", c.reply, v)
		}
		failed := strings.Replace(c.reply, "200", "500", 1)
		if v := c.judge([]byte(failed), c.eof); v != bad {
			t.Errorf("%q: %v", failed, v)
		}
	}
}

// In an open loop, a stall counts for every request that was due meanwhile.
func TestOpenLoopCountsStalls(t *testing.T) {
	const requests = 20
	var arrived sync.WaitGroup
	arrived.Add(requests)
	addr := serve(t, "http", "unix", func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait()
	})
	r, err := Run(Config{Addr: addr, Protocol: "http", Rate: 200, Duration: 100 * time.Millisecond})
	if err != nil || r.Requests != requests || r.Failed != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if worst, half := r.At(100), r.At(50); worst < 94e3 || half < 40e3 {
		t.Errorf("the worst is %.0f µs and half are under %.0f µs, but the first waited for the last", worst, half)
	}
}

func TestNoServer(t *testing.T) {
	c := Config{Addr: "unix:" + filepath.Join(t.TempDir(), "none"), Protocol: "scgi", Flight: 1, Duration: time.Millisecond}
	if r, err := Run(c); err != nil || r.Requests != 0 || r.Failed == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := Ask(c); !errors.As(err, new(*net.OpError)) {
		t.Errorf("Ask: %v", err)
	}
}

func TestTransfer(t *testing.T) {
	const size = 3 << 20
	addr := serve(t, "scgi", "unix", func(w http.ResponseWriter, r *http.Request) {
		if n, _ := io.Copy(io.Discard, r.Body); n != size && r.ContentLength > 0 {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Write(make([]byte, size))
	})
	if _, err := Upload(addr, size); err != nil {
		t.Error(err)
	}
	if _, err := Upload(addr, 1); err == nil {
		t.Error("a 418 passed")
	}
	if _, err := Download(addr, size); err != nil {
		t.Error(err)
	}
	if _, err := Download(addr, 2*size); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a download: %v", err)
	}
}
