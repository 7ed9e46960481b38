package gateway

// request_test.go tests the bytes that a Transport sends.

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"example.com/scgi/internal/leak"
)

// sentBy returns what a Transport writes for req, and the number of writes. The reply comes
// once the body is sent and closed.
func sentBy(t *testing.T, req *http.Request) (sent string, writes int) {
	t.Helper()
	var b bytes.Buffer
	replied, reply := io.Pipe()
	conn := &stubConn{reply: replied, write: func(p []byte) (int, error) {
		writes++
		return b.Write(p)
	}}
	done := make(chan struct{})
	req.Body = struct {
		io.Reader
		io.Closer
	}{req.Body, closerFunc(func() error { close(done); return nil })}
	go func() {
		<-done // everything was sent
		io.WriteString(reply, "\n")
		reply.Close()
	}()
	resp, err := (&Transport{Addr: "x:1", DialContext: dialed(conn)}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return b.String(), writes
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

func TestTransportSendsTheSpec(t *testing.T) {
	leak.Goroutines(t)
	req, _ := http.NewRequest("POST", "http://fe.test:8080/a%20b?x=1", strings.NewReader("hello"))
	req.Header = http.Header{"Content-Type": {"text/plain"}, "X-B": {"1", "2"}, "Cookie": {"a=1", "b=2"}, "Accept": {""}}
	got, writes := sentBy(t, req)
	block := strings.Join([]string{
		"CONTENT_LENGTH", "5", "SCGI", "1", "REQUEST_METHOD", "POST", "REQUEST_URI", "/a%20b?x=1",
		"QUERY_STRING", "x=1", "SCRIPT_NAME", "", "PATH_INFO", "/a b", "SERVER_PROTOCOL", "HTTP/1.1",
		"GATEWAY_INTERFACE", "CGI/1.1", "SERVER_SOFTWARE", "go-scgi", "SERVER_NAME", "fe.test",
		"SERVER_PORT", "8080", "REQUEST_SCHEME", "http", "CONTENT_TYPE", "text/plain",
		"HTTP_HOST", "fe.test:8080", "HTTP_ACCEPT", "", "HTTP_COOKIE", "a=1; b=2", "HTTP_X_B", "1, 2",
	}, "\x00") + "\x00"
	if want := fmt.Sprintf("%d:%s,hello", len(block), block); got != want {
		t.Errorf("sent\n%q, want\n%q", got, want)
	}
	if writes != 1 {
		t.Errorf("%d writes, want 1", writes)
	}
}

func TestTransportSendsHeaderBeforeSlowBody(t *testing.T) {
	leak.Goroutines(t)
	addr := fakeServer(t, "tcp", func(c *fakeConn) {
		c.header()
		c.send("Status: 202\n\n")
		c.drain()
	})
	body, _ := io.Pipe() // never delivers a byte
	req, _ := http.NewRequest("POST", "http://fe.test/", body)
	req.ContentLength = 9
	resp, err := (&Transport{Addr: addr}).RoundTrip(req)
	if err != nil || resp.StatusCode != 202 {
		t.Fatalf("got %v, %v", resp, err)
	}
	resp.Body.Close()
}

// Each row changes a GET of http://fe.test/ and lists variables of the result.
func TestTransportVariables(t *testing.T) {
	local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 8090}
	received := func(r *http.Request) {
		r.RemoteAddr = "192.0.2.1:1234"
		*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
	}
	header := func(fields ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(fields); i += 2 {
				r.Header[fields[i]] = append(r.Header[fields[i]], fields[i+1])
			}
		}
	}
	const none = "\x00" // marks a variable that is not sent
	for name, row := range map[string]struct {
		change func(*http.Request)
		want   map[string]string
	}{
		"plain": {func(*http.Request) {}, map[string]string{
			"SCGI": "1", "REQUEST_METHOD": "GET", "REQUEST_URI": "/", "PATH_INFO": "/", "QUERY_STRING": "",
			"SERVER_NAME": "fe.test", "SERVER_PORT": "80", "REQUEST_SCHEME": "http", "HTTPS": none,
			"REMOTE_ADDR": none, "REMOTE_PORT": none, "CONTENT_TYPE": none, "HTTP_HOST": "fe.test"}},
		"no method":      {func(r *http.Request) { r.Method = "" }, map[string]string{"REQUEST_METHOD": "GET"}},
		"no protocol":    {func(r *http.Request) { r.Proto = "" }, map[string]string{"SERVER_PROTOCOL": "HTTP/1.1"}},
		"HTTP/2":         {func(r *http.Request) { r.Proto = "HTTP/2.0" }, map[string]string{"SERVER_PROTOCOL": "HTTP/2.0"}},
		"raw path":       {func(r *http.Request) { r.URL, _ = url.Parse("/a%2Fb//../c?") }, map[string]string{"REQUEST_URI": "/a%2Fb//../c?", "PATH_INFO": "/a/b//../c"}},
		"as it came":     {func(r *http.Request) { r.URL, _ = url.Parse("/a%2Fb%7Cc?%zz"); r.RequestURI = "/a%2Fb|c?%zz" }, map[string]string{"REQUEST_URI": "/a%2Fb|c?%zz", "PATH_INFO": "/a/b|c", "QUERY_STRING": "%zz"}},
		"absolute":       {func(r *http.Request) { r.URL, _ = url.Parse("http://a/a%2Fb%7Cc"); r.RequestURI = "http://a/a%2Fb|c" }, map[string]string{"REQUEST_URI": "/a%2Fb|c"}},
		"absolute, bare": {func(r *http.Request) { r.URL, _ = url.Parse("http://a"); r.RequestURI = "http://a" }, map[string]string{"REQUEST_URI": "/"}},
		"authority":      {func(r *http.Request) { r.URL = &url.URL{Host: "fe.test:443"}; r.RequestURI = "fe.test:443" }, map[string]string{"REQUEST_URI": "/"}},
		"URL in path":    {func(r *http.Request) { r.URL, _ = url.Parse("/http://a/|"); r.RequestURI = "/http://a/|" }, map[string]string{"REQUEST_URI": "/http://a/|"}},
		"other path":     {func(r *http.Request) { r.URL, _ = url.Parse("/b|c"); r.RequestURI = "/a/b|c" }, map[string]string{"REQUEST_URI": "/b%7Cc", "PATH_INFO": "/b|c"}},
		"other query":    {func(r *http.Request) { r.URL, _ = url.Parse("/?b"); r.RequestURI = "/?a" }, map[string]string{"REQUEST_URI": "/?b", "QUERY_STRING": "b"}},
		"two slashes":    {func(r *http.Request) { r.URL = &url.URL{Path: "//evil/x"} }, map[string]string{"REQUEST_URI": "//evil/x", "PATH_INFO": "//evil/x"}},
		"asterisk":       {func(r *http.Request) { r.URL = &url.URL{Path: "*"} }, map[string]string{"REQUEST_URI": "*", "PATH_INFO": ""}},
		"opaque":         {func(r *http.Request) { r.URL = &url.URL{Opaque: "fe.test:443"} }, map[string]string{"REQUEST_URI": "fe.test:443", "PATH_INFO": ""}},
		"host":           {func(r *http.Request) { r.Host = "Other:81" }, map[string]string{"HTTP_HOST": "Other:81", "SERVER_NAME": "Other", "SERVER_PORT": "81"}},
		"IPv6 host":      {func(r *http.Request) { r.Host = "[::1]:81" }, map[string]string{"SERVER_NAME": "[::1]", "SERVER_PORT": "81"}},
		"no host":        {func(r *http.Request) { r.Host, r.URL.Host = "", "" }, map[string]string{"HTTP_HOST": none, "SERVER_NAME": "", "SERVER_PORT": "80"}},
		"TLS":            {func(r *http.Request) { r.TLS = new(tls.ConnectionState) }, map[string]string{"HTTPS": "on", "REQUEST_SCHEME": "https", "SERVER_PORT": "443"}},
		"https":          {func(r *http.Request) { r.URL.Scheme = "https" }, map[string]string{"HTTPS": "on", "REQUEST_SCHEME": "https"}},
		"received":       {received, map[string]string{"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "1234", "SERVER_NAME": "fe.test", "SERVER_PORT": "8090"}},
		"received, bare": {func(r *http.Request) { received(r); r.Host, r.URL.Host = "", "" }, map[string]string{"SERVER_NAME": "192.0.2.9", "SERVER_PORT": "8090"}},
		"received, IPv6": {func(r *http.Request) { r.RemoteAddr = "[fe80::1%eth0]:1" }, map[string]string{"REMOTE_ADDR": "fe80::1%eth0"}},
		"unix client":    {func(r *http.Request) { r.RemoteAddr = "@" }, map[string]string{"REMOTE_ADDR": none}},
		"joined":         {header("X-A", "1", "X-A", "2"), map[string]string{"HTTP_X_A": "1, 2"}},
		"two spellings":  {header("X-A", "1", "x-a", "2"), map[string]string{"HTTP_X_A": "1, 2"}},
		"odd token":      {header("X.!~A", "1"), map[string]string{"HTTP_X.!~A": "1"}},
		"content type":   {header("content-type", "a/b"), map[string]string{"CONTENT_TYPE": "a/b", "HTTP_CONTENT_TYPE": none}},
		"length":         {header("Content-Length", "99"), map[string]string{"CONTENT_LENGTH": none, "HTTP_CONTENT_LENGTH": none}},
		"host field":     {header("Host", "evil"), map[string]string{"HTTP_HOST": "fe.test"}},
		"proxy":          {header("Proxy", "evil", "proxy", "evil"), map[string]string{"HTTP_PROXY": none}},
		"underscore":     {header("Remote_user", "evil", "Content_length", "9"), map[string]string{"HTTP_REMOTE_USER": none, "HTTP_CONTENT_LENGTH": none}},
		"no agent":       {header("User-Agent", ""), map[string]string{"HTTP_USER_AGENT": none}},
		"nil value":      {func(r *http.Request) { r.Header["X-A"] = nil }, map[string]string{"HTTP_X_A": none}},
		"authorization":  {header("Authorization", "Basic x"), map[string]string{"HTTP_AUTHORIZATION": "Basic x"}},
		"hop by hop": {header("Connection", "close", "Keep-Alive", "1", "Proxy-Connection", "x", "Te", "x", "Trailer", "x", "Transfer-Encoding", "chunked", "Upgrade", "x"),
			map[string]string{"HTTP_CONNECTION": none, "HTTP_KEEP_ALIVE": none, "HTTP_PROXY_CONNECTION": none, "HTTP_TE": none, "HTTP_TRAILER": none, "HTTP_TRANSFER_ENCODING": none, "HTTP_UPGRADE": none}},
		"upgrade":         {header("Connection", "keep-alive, Upgrade", "Upgrade", "websocket"), map[string]string{"HTTP_CONNECTION": "keep-alive, Upgrade", "HTTP_UPGRADE": "websocket"}},
		"upgrade to none": {header("Connection", "Upgrade"), map[string]string{"HTTP_CONNECTION": none}},
	} {
		t.Run(name, func(t *testing.T) {
			req, _ := http.NewRequest("GET", "http://fe.test/", nil)
			row.change(req)
			block, err := new(Transport).variables(req)
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]string)
			for pairs := strings.Split(strings.TrimSuffix(block, "\x00"), "\x00"); len(pairs) > 1; pairs = pairs[2:] {
				if _, twice := got[pairs[0]]; twice {
					t.Errorf("%s twice", pairs[0])
				}
				got[pairs[0]] = pairs[1]
			}
			for name, want := range row.want {
				if value, ok := got[name]; ok != (want != none) || ok && value != want {
					t.Errorf("%s: %q, %t; want %q", name, value, ok, want)
				}
			}
		})
	}
}

// Variables of Env replace the request's, and no variable is sent twice.
func TestTransportEnv(t *testing.T) {
	req, _ := http.NewRequest("GET", "https://fe.test/app/x", nil)
	req.Header.Set("X-A", "client")
	tr := &Transport{Env: func(r *http.Request) map[string]string {
		return map[string]string{"REMOTE_USER": "alice", "SCRIPT_NAME": "/app", "PATH_INFO": strings.TrimPrefix(r.URL.Path, "/app"),
			"HTTPS": "", "HTTP_X_A": "ours", "HTTP_HOST": "other", "lower": "\xff"}
	}}
	block, err := tr.variables(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"REMOTE_USER\x00alice", "SCRIPT_NAME\x00/app", "PATH_INFO\x00/x", "HTTPS\x00", "HTTP_X_A\x00ours", "HTTP_HOST\x00other", "lower\x00\xff", "REQUEST_URI\x00/app/x"} {
		name, _, _ := strings.Cut(want, "\x00")
		if !strings.Contains(block, "\x00"+want+"\x00") || strings.Count(block, "\x00"+name+"\x00") != 1 {
			t.Errorf("want %q, once, in %q", want, block)
		}
	}
	for name, env := range map[string]map[string]string{
		"CONTENT_LENGTH": {"CONTENT_LENGTH": "1"},
		"SCGI":           {"SCGI": "1"},
		"no name":        {"": "x"},
		"NUL in name":    {"A\x00B": "x"},
		"= in name":      {"A=B": "x"},
		"NUL in value":   {"REMOTE_USER": "a\x00b"},
		"line in value":  {"REMOTE_USER": "a\nb"},
	} {
		tr.Env = func(*http.Request) map[string]string { return env }
		var fault *requestError
		if _, err := tr.variables(req); !errors.As(err, &fault) {
			t.Errorf("%s: got %v, want a requestError", name, err)
		}
	}
}

func TestTransportRefusesBeforeDialing(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"NUL in path":     func(r *http.Request) { r.URL.Path = "/\x00" },
		"LF in path":      func(r *http.Request) { r.URL.Path = "/\n" },
		"CR in query":     func(r *http.Request) { r.URL.RawQuery = "\r" },
		"NUL in method":   func(r *http.Request) { r.Method = "G\x00" },
		"LF in host":      func(r *http.Request) { r.Host = "a\nb" },
		"NUL in value":    func(r *http.Request) { r.Header["A"] = []string{"\x00"} },
		"CRLF in value":   func(r *http.Request) { r.Header["A"] = []string{"b\r\nC: d"} },
		"NUL in name":     func(r *http.Request) { r.Header["A\x00B"] = []string{"c"} },
		"space in name":   func(r *http.Request) { r.Header["A B"] = []string{"c"} },
		"empty name":      func(r *http.Request) { r.Header[""] = []string{"c"} },
		"length, no body": func(r *http.Request) { r.ContentLength, r.Body = 1, http.NoBody },
		"no URL":          func(r *http.Request) { r.URL = nil },
		"unreadable spool": func(r *http.Request) {
			r.Body = newSourceBody(readerFunc(func([]byte) (int, error) { return 0, errTest }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Goroutines(t)
			body := newSourceBody(strings.NewReader("x"))
			req, _ := http.NewRequest("POST", "http://fe.test/", body)
			change(req)
			tr := &Transport{Addr: "x:1", DialContext: func(context.Context, string, string) (net.Conn, error) {
				t.Error("dialed")
				return nil, errTest
			}}
			var fault *requestError
			if _, err := tr.RoundTrip(req); !errors.As(err, &fault) {
				t.Errorf("got %v, want a requestError", err)
			}
			if req.Body == body {
				body.wantClosed(t)
			}
		})
	}
}

func TestTransportTarget(t *testing.T) {
	for _, row := range []struct{ addr, url, network, want string }{
		{"127.0.0.1:4000", "http://a/", "tcp", "127.0.0.1:4000"},
		{"[::1]:4000", "http://a/", "tcp", "[::1]:4000"},
		{"unix:/run/app.sock", "http://a/", "unix", "/run/app.sock"},
		{"unix:rel.sock?mode=0666", "http://a/", "unix", "rel.sock"},
		{"fd:0", "http://a/", "", ""},
		{"systemd:x", "http://a/", "", ""},
		{"", "scgi://a/b", "tcp", "a:4000"},
		{"", "scgi://a:81/b", "tcp", "a:81"},
		{"", "scgi://[::1]/b", "tcp", "[::1]:4000"},
		{"", "scgi:///b", "", ""},
		{"", "http://a/b", "", ""},
	} {
		u, _ := url.Parse(row.url)
		network, addr, err := target(row.addr, u)
		if network != row.network || addr != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%q, %s: %s %s, %v; want %s %s", row.addr, row.url, network, addr, err, row.network, row.want)
		}
	}
}

// A body whose length differs from its ContentLength is a requestError.
func TestTransportBodyLength(t *testing.T) {
	for name, row := range map[string]struct {
		body   string
		length int64
		sent   string
	}{
		"short": {"abc", 4, "abc"},
		"empty": {"", 4, ""},
		"long":  {"abcde", 4, "abcd"},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Goroutines(t)
			got := make(chan string, 1)
			addr := fakeServer(t, "tcp", func(c *fakeConn) {
				c.header()
				b, _ := io.ReadAll(c.in)
				got <- string(b)
			})
			body := newSourceBody(strings.NewReader(row.body))
			req, _ := http.NewRequest("POST", "http://fe.test/", body)
			req.ContentLength = row.length
			var fault *requestError
			if _, err := (&Transport{Addr: addr}).RoundTrip(req); !errors.As(err, &fault) {
				t.Errorf("got %v, want a requestError", err)
			}
			if sent := <-got; sent != row.sent {
				t.Errorf("sent %q, want %q", sent, row.sent)
			}
			body.wantClosed(t)
		})
	}
}

func TestTransportBodyFails(t *testing.T) {
	leak.Goroutines(t)
	addr := fakeServer(t, "unix", func(c *fakeConn) { c.drain() })
	body := newSourceBody(io.MultiReader(strings.NewReader("ab"), readerFunc(func([]byte) (int, error) { return 0, errTest })))
	req, _ := http.NewRequest("POST", "http://fe.test/", body)
	req.ContentLength = 9
	if _, err := (&Transport{Addr: addr}).RoundTrip(req); !errors.Is(err, errTest) {
		t.Errorf("got %v, want %v", err, errTest)
	}
	body.wantClosed(t)
}
