package gateway

// gateway_test.go tests the HTTP front end between real HTTP clients and scripted SCGI
// servers.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/scgi/internal/leak"
)

// startGateway returns an HTTP server in front of an SCGI server that runs script.
func startGateway(t *testing.T, network string, script func(*fakeConn)) *httptest.Server {
	t.Helper()
	leak.Goroutines(t)
	srv := httptest.NewServer(New(fakeServer(t, network, script)))
	t.Cleanup(srv.Close)
	return srv
}

// fakeEcho answers with the variables, one on each line, and the body.
func fakeEcho(c *fakeConn) {
	vars, body := c.request()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(&b, "%s=%s\n", name, vars[name])
	}
	c.send(fmt.Sprintf("Content-Length: %d\n\n%s\n%s", b.Len()+1+len(body), b.String(), body))
}

// rawHTTP sends raw bytes to srv and returns the connection.
func rawHTTP(t *testing.T, srv *httptest.Server, raw string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

func readResponse(t *testing.T, in *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestGatewayPassesOn(t *testing.T) {
	srv := startGateway(t, "unix", fakeEcho)
	c, in := rawHTTP(t, srv, "GET /a%2Fb|//..//c%20d?x=%zz&y;z= HTTP/1.1\r\nHost: Fe.Test:81\r\nX-A: 1\r\nX-A: 2\r\nProxy: evil\r\n"+
		"X-Forwarded-For: forged\r\nX_Forwarded_For: forged\r\nConnection: X-Gone\r\nX-Gone: x\r\n\r\n")
	_, got := readResponse(t, in, "GET")
	ip, port, _ := net.SplitHostPort(c.LocalAddr().String())
	want := strings.Join([]string{
		"CONTENT_LENGTH=0", "GATEWAY_INTERFACE=CGI/1.1", "HTTP_HOST=Fe.Test:81", "HTTP_X_A=1, 2", "PATH_INFO=/a/b|//..//c d",
		"QUERY_STRING=x=%zz&y;z=", "REMOTE_ADDR=" + ip, "REMOTE_PORT=" + port, "REQUEST_METHOD=GET", "REQUEST_SCHEME=http",
		"REQUEST_URI=/a%2Fb|//..//c%20d?x=%zz&y;z=", "SCGI=1", "SCRIPT_NAME=", "SERVER_NAME=Fe.Test", "SERVER_PORT=81",
		"SERVER_PROTOCOL=HTTP/1.1", "SERVER_SOFTWARE=go-scgi", "", ""}, "\n")
	if got != want {
		t.Errorf("passed on:\n%s\nwant:\n%s", got, want)
	}
}

func TestGatewayServerPort(t *testing.T) {
	srv := startGateway(t, "tcp", fakeEcho)
	_, in := rawHTTP(t, srv, "GET / HTTP/1.1\r\nHost: fe.test\r\n\r\n")
	_, got := readResponse(t, in, "GET")
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	if !strings.Contains(got, "\nSERVER_NAME=fe.test\nSERVER_PORT="+port+"\n") {
		t.Errorf("want port %s in\n%s", port, got)
	}
}

func TestGatewayUploads(t *testing.T) {
	for name, size := range map[string]int{"small": 10, "spool in memory": 100 << 10, "spool on disk": 3 << 20} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprint(name, chunked), func(t *testing.T) {
				leak.TempFiles(t)
				srv := startGateway(t, "tcp", fakeEcho)
				data := strings.Repeat("x", size)
				var body io.Reader = strings.NewReader(data)
				if chunked {
					body = io.MultiReader(body) // hides the length
				}
				resp, err := srv.Client().Post(srv.URL, "text/plain", body)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				vars, gotBody, _ := strings.Cut(string(got), "\n\n")
				if err != nil || gotBody != data || !strings.Contains("\n"+vars, fmt.Sprintf("\nCONTENT_LENGTH=%d\n", size)) ||
					!strings.Contains(vars, "\nCONTENT_TYPE=text/plain\n") {
					t.Errorf("%d bytes came back, %v, from\n%s", len(gotBody), err, vars)
				}
				if resp.Close {
					t.Error("the connection was not kept")
				}
			})
		}
	}
}

func TestGatewayReplies(t *testing.T) {
	for name, row := range map[string]struct {
		request, reply string
		status         int
		header         http.Header // fields that the answer must have
		body           string
	}{
		"HEAD":          {"HEAD / HTTP/1.1", "Content-Length: 5\nX-A: b\n\n", 200, http.Header{"Content-Length": {"5"}, "X-A": {"b"}}, ""},
		"304":           {"GET / HTTP/1.1", "Status: 304\nEtag: \"x\"\n\n", 304, http.Header{"Etag": {`"x"`}}, ""},
		"204":           {"GET / HTTP/1.1", "Status: 204\n\n", 204, nil, ""},
		"range":         {"GET / HTTP/1.1\r\nRange: bytes=1-2", "Status: 206\nContent-Range: bytes 1-2/5\nContent-Length: 2\n\nel", 206, http.Header{"Content-Range": {"bytes 1-2/5"}}, "el"},
		"redirect":      {"GET / HTTP/1.1", "Location: /x\n\n", 302, http.Header{"Location": {"/x"}}, ""},
		"no type":       {"GET / HTTP/1.1", "\n<html>", 200, http.Header{"Content-Type": nil}, "<html>"},
		"no length":     {"GET / HTTP/1.1", "Content-Type: text/x\n\nabc", 200, http.Header{"Content-Type": {"text/x"}}, "abc"},
		"HTTP/1.0":      {"GET / HTTP/1.0", "Content-Type: text/x\n\nabc", 200, nil, "abc"},
		"cookies":       {"GET / HTTP/1.1", "Set-Cookie: a=1\nSet-Cookie: b=2\n\n", 200, http.Header{"Set-Cookie": {"a=1", "b=2"}}, ""},
		"hop by hop":    {"GET / HTTP/1.1", "Connection: close\nKeep-Alive: x\nUpgrade: x\nContent-Length: 0\n\n", 200, http.Header{"Connection": nil, "Keep-Alive": nil, "Upgrade": nil}, ""},
		"own error":     {"GET / HTTP/1.1", "Status: 500\nContent-Length: 1\n\nx", 500, nil, "x"},
		"not asked 101": {"GET / HTTP/1.1", "Status: 101\nUpgrade: x\n\n", 502, nil, "502 Bad Gateway: no valid reply from the SCGI server\n"},
	} {
		t.Run(name, func(t *testing.T) {
			quietLog(t)
			srv := startGateway(t, "tcp", fakeAnswer(row.reply))
			method, _, _ := strings.Cut(row.request, " ")
			_, in := rawHTTP(t, srv, row.request+"\r\nHost: fe.test\r\n\r\n")
			resp, body := readResponse(t, in, method)
			if resp.StatusCode != row.status || body != row.body {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, row.status, row.body)
			}
			for name, want := range row.header {
				if !slices.Equal(resp.Header[name], want) {
					t.Errorf("%s: %q, want %q", name, resp.Header[name], want)
				}
			}
		})
	}
}

// The client gets at once what the app flushes.
func TestGatewayStreams(t *testing.T) {
	for name, head := range map[string]string{"no length": "\n", "length": "Content-Length: 12\n\n"} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan struct{})
			srv := startGateway(t, "tcp", func(c *fakeConn) {
				c.request()
				c.send(head)
				<-seen
				for range 3 {
					c.send("tick")
					<-seen
				}
			})
			resp, err := srv.Client().Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			seen <- struct{}{}
			for range 3 {
				if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
				seen <- struct{}{}
			}
			if _, err := resp.Body.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the reply ended with %v", err)
			}
		})
	}
}

func TestGatewayUpgrade(t *testing.T) {
	srv := startGateway(t, "unix", func(c *fakeConn) {
		c.request()
		c.send("Status: 101\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
		_, _ = io.Copy(c, c.in)
	})
	c, in := rawHTTP(t, srv, "GET /ws HTTP/1.1\r\nHost: fe.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n")
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "x" || !strings.EqualFold(resp.Header.Get("Connection"), "upgrade") {
		t.Fatalf("got %v, %v", resp, err)
	}
	_, _ = io.WriteString(c, "ping")
	got := make([]byte, 4)
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "ping" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A small request goes out in a single write, since its body is already there.
func TestGatewaySendsSmallRequestInOneWrite(t *testing.T) {
	leak.Goroutines(t)
	first := make(chan string, 2)
	conn := &stubConn{write: func(p []byte) (int, error) { first <- string(p); return len(p), nil }}
	conn.reply = readerFunc(func(p []byte) (int, error) {
		if sent := <-first; !strings.HasSuffix(sent, ",hello") {
			t.Errorf("the first write is %q", sent)
		}
		return copy(p, "Content-Length: 0\n\n"), nil
	})
	tr := &Transport{DialContext: dialed(conn)}
	tr.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "http://fe.test/", strings.NewReader("hello")))
}

// A ReverseProxy with a Transport streams an upload.
func TestReverseProxyStreamsUpload(t *testing.T) {
	leak.Goroutines(t)
	seen := make(chan struct{})
	tr := &Transport{Addr: fakeServer(t, "tcp", func(c *fakeConn) {
		c.header()
		for range 2 {
			_, _ = io.CopyN(io.Discard, c.in, 3)
			seen <- struct{}{}
		}
		c.send("\n")
	})}
	srv := httptest.NewServer(&httputil.ReverseProxy{Transport: tr, Rewrite: func(*httputil.ProxyRequest) {}})
	t.Cleanup(srv.Close)
	c, in := rawHTTP(t, srv, "POST / HTTP/1.1\r\nHost: fe.test\r\nContent-Length: 6\r\n\r\nabc")
	<-seen
	_, _ = io.WriteString(c, "def")
	<-seen
	if resp, _ := readResponse(t, in, "POST"); resp.StatusCode != 200 {
		t.Errorf("got %v", resp)
	}
}

// Behind StripPrefix the server gets the shortened path.
func TestGatewayBehindStripPrefix(t *testing.T) {
	leak.Goroutines(t)
	w := httptest.NewRecorder()
	http.StripPrefix("/app", New(fakeServer(t, "tcp", fakeEcho))).ServeHTTP(w, httptest.NewRequest("GET", "/app/a%2Fb?c", nil))
	for _, want := range []string{"\nREQUEST_URI=/a%2Fb?c\n", "\nPATH_INFO=/a/b\n", "\nQUERY_STRING=c\n"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("want %q in\n%s", want, w.Body)
		}
	}
}

// The log has the client's URI, truncated but not quoted, since the slog.Handler quotes it.
func TestGatewayLogsURI(t *testing.T) {
	long := "/" + strings.Repeat("x", 1000)
	for uri, want := range map[string]string{"/a%2Fb?\"|": "/a%2Fb?\"|", long: long[:200]} {
		quietLog(t)
		var b bytes.Buffer
		slog.SetDefault(slog.New(slog.NewJSONHandler(&b, nil)))
		New(fakeDead(t)).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", uri, nil))
		var line struct{ URI, Method string }
		if err := json.Unmarshal(b.Bytes(), &line); err != nil || line.URI != want || line.Method != "GET" {
			t.Errorf("logged %s, %v; want the URI %s", &b, err, want)
		}
	}
}

// Without an Addr every request goes to the server's default address, even one with an scgi
// URL.
func TestGatewayDefaultAddr(t *testing.T) {
	var dialed []string
	tr := &Transport{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
		dialed = append(dialed, addr)
		return nil, errTest
	}}
	quietLog(t)
	for _, url := range []string{"/", "http://fe.test/", "scgi://192.0.2.1:81/"} {
		tr.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", url, nil))
	}
	if want := slices.Repeat([]string{"127.0.0.1:4000"}, 3); !slices.Equal(dialed, want) {
		t.Errorf("dialed %v, want %v", dialed, want)
	}
}

var _ http.RoundTripper = (*Transport)(nil)
