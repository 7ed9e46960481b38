package scgi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/leak"
)

func TestFromContext(t *testing.T) {
	l := listen(t, "unix")
	start(t, &scgi.Server{Handler: scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r, ok := scgi.FromContext(req.Context())
		fmt.Fprint(w, ok, r.Env.Get("REMOTE_USER"), " ", req.RemoteAddr == r.RemoteAddr().String())
	}))}, l)
	if r := parseReply(t, ask(t, l.Addr(), encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "REMOTE_USER", "alice"))); r.Body != "truealice true" {
		t.Errorf("%+v", r)
	}
	// FromContext also finds a Request with another context, and one made by hand.
	r := &scgi.Request{Env: scgi.NewEnv("A", "b")}
	for _, r := range []*scgi.Request{r, r.WithContext(r.Context())} {
		scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if got, ok := scgi.FromContext(req.Context()); !ok || got != r {
				t.Errorf("%v, %t", got, ok)
			}
		})).ServeSCGI(nil, r)
	}
	if _, ok := scgi.FromContext(t.Context()); ok {
		t.Error("FromContext found a Request in an empty context")
	}
}

func TestServeMuxPathValues(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("id")) })
	mux.Handle("/app/", http.StripPrefix("/app", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })))
	l := listen(t, "unix")
	start(t, &scgi.Server{Handler: scgi.HTTPHandler(mux)}, l)
	for uri, want := range map[string]string{"/items/42": "42", "/app/x/y": "/x/y", "/none": "404 page not found\n"} {
		if r := parseReply(t, ask(t, l.Addr(), get(uri))); r.Body != want {
			t.Errorf("%s: %+v", uri, r)
		}
	}
}

func TestNetHTTPHelpers(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		mux := http.NewServeMux()
		mux.HandleFunc("/limit", func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 10)
			var tooLong *http.MaxBytesError
			if _, err := io.ReadAll(r.Body); errors.As(err, &tooLong) {
				http.Error(w, "too long", http.StatusRequestEntityTooLarge)
			}
		})
		mux.Handle("/timeout", http.TimeoutHandler(http.HandlerFunc(untilTooLate), 1, "late"))
		mux.HandleFunc("/form", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.FormValue("pizza")) })
		mux.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir("testdata/vectors"))))
		start(t, &scgi.Server{Handler: scgi.HTTPHandler(mux)}, l)
		want, _ := os.ReadFile("testdata/vectors/requests.json")
		for _, test := range []struct {
			request string
			status  int
			body    string
		}{
			{post("/limit", strings.Repeat("x", 100000)), 413, "too long\n"},
			{get("/timeout"), 503, "late"},
			{get("/form?pizza=hawaii"), 200, "hawaii"},
			{get("/files/requests.json"), 200, string(want)},
			{encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_URI", "/files/requests.json", "HTTP_RANGE", "bytes=2-4"), 206, string(want[2:5])},
			{encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_URI", "/files/requests.json", "HTTP_IF_MODIFIED_SINCE", "Fri, 01 Jan 2100 00:00:00 GMT"), 304, ""},
			{encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_URI", "/files/requests.json", "REQUEST_METHOD", "HEAD"), 200, ""},
		} {
			if r := parseReply(t, ask(t, l.Addr(), test.request)); r.Status != test.status || r.Body != test.body {
				t.Errorf("%.60q: %d %.100q", test.request, r.Status, r.Body)
			}
		}
	})
}

// untilTooLate returns once TimeoutHandler has replied. Otherwise TimeoutHandler might find
// that the handler ended in time.
func untilTooLate(w http.ResponseWriter, r *http.Request) {
	for _, err := w.Write(nil); err != http.ErrHandlerTimeout; _, err = w.Write(nil) {
		runtime.Gosched()
	}
}

// As under net/http, a form's files are removed, even after a panic.
func TestFormsLeaveNothingOnDisk(t *testing.T) {
	for _, uri := range []string{"/", "/panic"} {
		leak.TempFiles(t)
		l := listen(t, "unix")
		start(t, &scgi.Server{Handler: scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(0); err != nil {
				t.Error(err)
			}
			if files, err := os.ReadDir(os.TempDir()); len(files) == 0 {
				t.Errorf("the form was not stored on disk, %v", err)
			}
			if r.URL.Path == "/panic" {
				panic(http.ErrAbortHandler)
			}
		}))}, l)
		r := parseReply(t, ask(t, l.Addr(), formRequest(uri, 1000)))
		if want := map[string]int{"/": 200, "/panic": 500}[uri]; r.Status != want {
			t.Errorf("%s: %+v", uri, r)
		}
	}
}

// requestParts are the exported fields of http.Request and the context values that
// net/http's server sets. The value is the reason why a part differs under HTTPHandler, or
// "" if it is equal.
var requestParts = map[string]string{
	"Method":           "",
	"URL":              "",
	"Proto":            "",
	"ProtoMajor":       "",
	"ProtoMinor":       "",
	"Header":           "",
	"Body":             "",
	"GetBody":          "", // for clients
	"ContentLength":    "",
	"TransferEncoding": "web servers pass on no chunked body, only a whole one",
	"Close":            "the client's connection is the web server's",
	"Host":             "",
	"Form":             "", // not parsed at this point
	"PostForm":         "",
	"MultipartForm":    "",
	"Trailer":          "no web server passes trailers on",
	"RemoteAddr":       "",
	"RequestURI":       "",
	"TLS":              "its details are variables: SSL_PROTOCOL, SSL_CIPHER and the like",
	"Cancel":           "", // for clients
	"Response":         "", // for clients
	"Pattern":          "", // set by a ServeMux

	"context: Err":                 "",
	"context: Deadline":            "",
	"context: ServerContextKey":    "",
	"context: LocalAddrContextKey": "",
	"context: Err after":           "", // after the handler has returned
}

// partsOf describes each part of r except the last, which exists only after the handler.
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
	host, _, _ := net.SplitHostPort(r.RemoteAddr) // the ports differ
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

// served returns the parts of the one request that h gets. use sends the request and reads
// the reply.
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

func TestHTTPRequestEqualsNetHTTPs(t *testing.T) {
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
		through = served(func(h http.Handler) { start(t, &scgi.Server{Handler: scgi.HTTPHandler(h)}, l) },
			func() { ask(t, l.Addr(), encode(request.body, vars...)) })
		for part, why := range requestParts {
			_, there := through[part]
			if !there || why == "" && through[part] != direct[part] {
				t.Errorf("%s: %s is %q, want %q", line, part, through[part], direct[part])
			}
		}
		for part := range through {
			if _, ok := requestParts[part]; !ok {
				t.Errorf("%s is new: add it to requestParts", part)
			}
		}
	}
}

// httputil.ReverseProxy panics when its upstream breaks off, but only if the context has a
// server.
func TestReverseProxyCutsBrokenReply(t *testing.T) {
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
		s := &scgi.Server{Handler: scgi.HTTPHandler(proxy), AccessLog: slog.New(slog.DiscardHandler)}
		start(t, s, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		if raw, err := io.ReadAll(bufio.NewReader(c)); err == nil {
			t.Errorf("%s: a broken reply looks whole: %q", kind, raw)
		}
	}
}
