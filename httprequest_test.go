package scgi

// httprequest_test.go owns the comparison of what a handler gets behind
// HTTPHandler with what net/http's server gives it. Rule: each part of an
// http.Request and of its context is equal, or the table has the reason.

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// requestParts are the exported fields of http.Request and the parts of its
// context that net/http's server sets, each with the reason why it differs
// behind HTTPHandler, or "" where it is equal.
var requestParts = map[string]string{
	"Method":           "",
	"URL":              "",
	"Proto":            "",
	"ProtoMajor":       "",
	"ProtoMinor":       "",
	"Header":           "",
	"Body":             "",
	"GetBody":          "", // a client's
	"ContentLength":    "",
	"TransferEncoding": "web servers pass on no chunked body, only a whole one",
	"Close":            "the client's connection is the web server's",
	"Host":             "",
	"Form":             "", // not parsed yet
	"PostForm":         "",
	"MultipartForm":    "",
	"Trailer":          "no web server passes trailers on",
	"RemoteAddr":       "",
	"RequestURI":       "",
	"TLS":              "its details are variables: SSL_PROTOCOL, SSL_CIPHER and the like",
	"Cancel":           "", // a client's
	"Response":         "", // a client's
	"Pattern":          "", // a ServeMux's

	"context: Err":                 "",
	"context: Deadline":            "",
	"context: ServerContextKey":    "",
	"context: LocalAddrContextKey": "",
	"context: Err after":           "", // the handler has returned
}

// partsOf describes each part of r but the last, which has to wait.
func partsOf(r *http.Request) map[string]string {
	parts := make(map[string]string)
	v := reflect.ValueOf(r).Elem()
	for i, f := range reflect.VisibleFields(v.Type()) {
		if f.IsExported() {
			parts[f.Name] = fmt.Sprint(v.Field(i).Interface())
		}
	}
	body, err := io.ReadAll(r.Body)
	parts["Body"] = fmt.Sprintf("%q, %v, none %t", body, err, r.Body == http.NoBody)
	parts["TLS"] = fmt.Sprint(r.TLS != nil)
	host, _, _ := net.SplitHostPort(r.RemoteAddr) // each has a port of its own
	parts["RemoteAddr"] = host
	ctx := r.Context()
	_, has := ctx.Deadline()
	srv, _ := ctx.Value(http.ServerContextKey).(*http.Server)
	addr, _ := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	parts["context: Err"] = fmt.Sprint(ctx.Err())
	parts["context: Deadline"] = fmt.Sprint(has)
	parts["context: ServerContextKey"] = fmt.Sprint(srv != nil && srv.Handler != nil && srv.ErrorLog != nil)
	parts["context: LocalAddrContextKey"] = fmt.Sprintf("%T", addr)
	return parts
}

// served is what the handler h has seen of its one request, when its reply has
// been read by use.
func served(serve func(h http.Handler), use func()) map[string]string {
	seen := make(chan map[string]string, 1)
	contexts := make(chan context.Context, 1)
	serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- partsOf(r)
		contexts <- r.Context()
	}))
	use()
	parts, ctx := <-seen, <-contexts
	<-ctx.Done()
	parts["context: Err after"] = fmt.Sprint(ctx.Err())
	return parts
}

func TestRequestIsNetHTTPs(t *testing.T) {
	requests := []struct{ http, body string }{
		{"GET /a%20b/../c?x=1&y HTTP/1.1\r\nHost: h:8080\r\nAccept: */*\r\nCookie: a=b\r\nPragma: no-cache", ""},
		{"POST /form HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7", "a=b&c=d"},
		{"POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nX-Twice: 1\r\nX-Twice: 2", ""},
		{"OPTIONS /x HTTP/1.0\r\nHost: h", ""},
		{"PUT http://other/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1", "x"},
	}
	for _, request := range requests {
		line, fields, _ := strings.Cut(request.http, "\r\n")
		words := strings.Fields(line)
		var direct, through map[string]string
		direct = served(func(h http.Handler) {
			srv := httptest.NewUnstartedServer(h)
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			srv.Start()
			t.Cleanup(srv.Close)
			c := dial(t, srv.Listener.Addr())
			io.WriteString(c, request.http+"\r\nConnection: close\r\n\r\n"+request.body)
			t.Cleanup(func() { c.Close() })
		}, func() {})
		vars := []string{"CONTENT_LENGTH", fmt.Sprint(len(request.body)), "SCGI", "1", "REQUEST_METHOD", words[0], "REQUEST_URI", words[1],
			"SERVER_PROTOCOL", words[2], "REMOTE_ADDR", "127.0.0.1", "REMOTE_PORT", "12345", "HTTP_CONNECTION", "close"}
		for field := range strings.SplitSeq(fields, "\r\n") {
			name, value, _ := strings.Cut(field, ": ")
			vars = append(vars, "HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), value)
			if name == "Content-Type" {
				vars = append(vars, "CONTENT_TYPE", value)
			}
		}
		l := listen(t, "tcp")
		through = served(func(h http.Handler) { start(t, &Server{Handler: HTTPHandler(h)}, l) },
			func() { ask(t, l.Addr(), encode(request.body, vars...)) })
		for part, why := range requestParts {
			_, there := through[part]
			if !there || why == "" && through[part] != direct[part] {
				t.Errorf("%s: %s is %q, want %q", line, part, through[part], direct[part])
			}
		}
		for part := range through {
			if _, ok := requestParts[part]; !ok {
				t.Errorf("%s is new: compare it", part)
			}
		}
	}
}

// httputil.ReverseProxy panics where its upstream breaks off, but only if the
// context has a server.
func TestReverseProxyCutsABrokenReply(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	}))
	defer upstream.Close()
	target, _ := url.Parse(upstream.URL)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	for _, kind := range []string{"tcp", "tcp net", "tcp portable"} {
		l := listen(t, kind)
		s := &Server{Handler: HTTPHandler(proxy), AccessLog: slog.New(slog.DiscardHandler)}
		start(t, s, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		if raw, err := io.ReadAll(bufio.NewReader(c)); err == nil {
			t.Errorf("%s: a broken reply looks whole: %q", kind, raw)
		}
	}
}

// What ConnContext and BaseContext are given and give has the server too.
func TestServerContextKeyEverywhere(t *testing.T) {
	type key struct{}
	l := listen(t, "unix")
	s := &Server{
		BaseContext: func(net.Listener) context.Context { return context.WithValue(t.Context(), key{}, "base") },
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			if _, ok := ctx.Value(http.ServerContextKey).(*http.Server); !ok {
				t.Error("ConnContext's has no server")
			}
			return ctx
		},
		Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			_, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
			fmt.Fprint(w, ok, r.Context().Value(key{}), r.Context().Value(http.LocalAddrContextKey).(net.Addr).Network())
		}),
	}
	start(t, s, l)
	if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Body != "truebaseunix" {
		t.Errorf("%+v", r)
	}
}
