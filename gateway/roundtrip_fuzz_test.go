package gateway_test

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"example.com/scgi"
	"example.com/scgi/gateway"
)

// Invariants: a request that Transport sends without an error reaches an http.Handler of the
// Server with the same method, URI, host, field and body. The reply's field and body arrive
// as written, apart from what the reply's rules remove.
func FuzzRoundTrip(f *testing.F) {
	f.Add("GET", "/a%20b?x=1&y", "example.com", "X-Field", "value", "body", 200)
	f.Add("POST", "//x", "h:1", "Cookie", " a=1; b=2\t", strings.Repeat("b", 70000), 404)
	f.Add("PUT", "/", "", "Content-Type", "text/plain", "", 204)
	f.Add("HEAD", "/%zz", "a b", "Proxy", "evil", "x", 302)
	f.Add("DELETE", "/\xff", "h", "X_Y", "\x00\r\n", "y", 599)
	type seen struct {
		method, uri, host, value, body string
	}
	got := make(chan seen, 1)
	field, reply, status := "", "", 0
	l := pipeListener{make(chan net.Conn), make(chan struct{})}
	s := &scgi.Server{Logger: slog.New(slog.DiscardHandler), Handler: scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Method, r.RequestURI, r.Host, strings.Join(r.Header[field], ", "), string(body)}
		w.Header().Set("X-Reply", reply)
		w.WriteHeader(status)
		io.WriteString(w, reply)
	}))}
	go s.Serve(l)
	f.Cleanup(func() { s.Close() })
	t := &gateway.Transport{Addr: "pipe:1", DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		l.conns <- server
		return client, nil
	}}
	f.Fuzz(func(test *testing.T, method, uri, host, name, value, body string, code int) {
		field, reply, status = textproto.CanonicalMIMEHeaderKey(name), value, 200+max(code, -code)%400
		u, err := url.ParseRequestURI(uri)
		if err != nil || u.Host != "" || u.Scheme != "" || u.Opaque != "" || !strings.HasPrefix(uri, "/") {
			return
		}
		req := &http.Request{Method: method, URL: u, Host: host, Header: http.Header{name: {value}}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
		if body == "" {
			req.Body = http.NoBody
		}
		resp, err := t.RoundTrip(req)
		if err != nil {
			return // Transport can't send it
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusBadRequest && len(got) == 0 {
			return // net/http would refuse it
		}
		r := <-got
		if err != nil || resp.StatusCode != status {
			test.Fatalf("%d, %v", resp.StatusCode, err)
		}
		if want := cmp.Or(method, "GET"); r.method != want {
			test.Errorf("method %q arrives as %q", want, r.method)
		}
		if r.uri != u.RequestURI() || r.body != body {
			test.Errorf("uri %q arrives as %q, body %.50q as %.50q", u.RequestURI(), r.uri, body, r.body)
		}
		if host != "" && r.host != host {
			test.Errorf("host %q arrives as %q", host, r.host)
		}
		if r.value != "" && r.value != strings.Trim(value, " \t") {
			test.Errorf("field %q of %q arrives as %q", value, field, r.value)
		}
		want := reply
		if method == "HEAD" || status == http.StatusNoContent || status == http.StatusNotModified {
			want = ""
		}
		if clean := cleanValue(reply); string(answer) != want || resp.Header.Get("X-Reply") != clean {
			test.Errorf("reply %.50q comes back as %.50q, field %q", reply, answer, resp.Header.Get("X-Reply"))
		}
	})
}

// cleanValue returns the value that a client reads for a field set to s.
func cleanValue(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			b[i] = ' '
		}
	}
	return strings.Trim(string(b), " \t")
}

// pipeListener is a listener whose connections the test provides.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Net: "pipe"} }

func (l pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}
