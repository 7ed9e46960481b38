package scgi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"example.com/scgi/internal/leak"
)

// convert makes an http.Request of the variables, with the two that SCGI
// requires before them.
func convert(namesAndValues ...string) (*http.Request, error) {
	kv := append([]string{"CONTENT_LENGTH", "0", "SCGI", "1"}, namesAndValues...)
	return newHTTPRequest(&Request{Env: NewEnv(kv...), Body: http.NoBody})
}

func TestURL(t *testing.T) {
	for _, test := range []struct {
		vars []string
		uri  string // RequestURI
		url  url.URL
		host string
	}{
		{[]string{"REQUEST_URI", "/a%20b?x=1"}, "/a%20b?x=1", url.URL{Path: "/a b", RawQuery: "x=1"}, ""},
		{[]string{"REQUEST_URI", "/a%2Fb"}, "/a%2Fb", url.URL{Path: "/a/b", RawPath: "/a%2Fb"}, ""},
		{[]string{"REQUEST_URI", "//foo/bar", "HTTP_HOST", "h"}, "//foo/bar", url.URL{Path: "//foo/bar"}, "h"},
		{[]string{"REQUEST_URI", "/x?", "HTTP_HOST", "h"}, "/x?", url.URL{Path: "/x", ForceQuery: true}, "h"},
		{[]string{"REQUEST_URI", "/../etc/passwd"}, "/../etc/passwd", url.URL{Path: "/../etc/passwd"}, ""},
		{[]string{"REQUEST_URI", "*", "REQUEST_METHOD", "OPTIONS", "HTTP_HOST", "h"}, "*", url.URL{Path: "*"}, "h"},
		{[]string{"REQUEST_URI", "http://other:8080/x?y", "HTTP_HOST", "h"}, "http://other:8080/x?y", url.URL{Scheme: "http", Host: "other:8080", Path: "/x", RawQuery: "y"}, "other:8080"},
		{[]string{"REQUEST_URI", "scgi://127.0.0.1:8080/directory"}, "scgi://127.0.0.1:8080/directory", url.URL{Scheme: "scgi", Host: "127.0.0.1:8080", Path: "/directory"}, "127.0.0.1:8080"},
		{[]string{"REQUEST_URI", "fe.test:443", "REQUEST_METHOD", "CONNECT", "HTTP_HOST", "h"}, "fe.test:443", url.URL{Host: "fe.test:443"}, "fe.test:443"},
		{[]string{"REQUEST_URI", "/x", "HTTP_HOST", "a@b.com"}, "/x", url.URL{Path: "/x"}, "a@b.com"},
		{[]string{"REQUEST_URI", "/x", "SERVER_NAME", "s"}, "/x", url.URL{Path: "/x"}, "s"},
		{[]string{"SCRIPT_NAME", "/app", "PATH_INFO", "/a b?", "QUERY_STRING", "q=1"}, "/app/a%20b%3F?q=1", url.URL{Path: "/app/a b?", RawQuery: "q=1"}, ""},
		{[]string{"PATH_INFO", "no/slash"}, "/no/slash", url.URL{Path: "/no/slash"}, ""},
		{[]string{"REQUEST_URI", "/x", "HTTP_HOST", "h", "HTTP_HOST", "h"}, "/x", url.URL{Path: "/x"}, "h"},
		{nil, "/", url.URL{Path: "/"}, ""},
	} {
		req, err := convert(test.vars...)
		if err != nil {
			t.Errorf("%q: %v", test.vars, err)
			continue
		}
		if req.RequestURI != test.uri || *req.URL != test.url || req.Host != test.host {
			t.Errorf("%q: RequestURI %q, URL %#v, Host %q", test.vars, req.RequestURI, *req.URL, req.Host)
		}
	}
}

// nginx's configuration may repeat HTTP_HOST: Debian's has $host, and whoever
// needs the port adds it.
func TestRepeatedHost(t *testing.T) {
	for _, test := range []struct {
		hosts []string
		want  string
	}{
		{[]string{"h", "h"}, "h"},
		{[]string{"h", "h:8080"}, "h:8080"},
		{[]string{"h", "h", "H:8080"}, "H:8080"},
		{[]string{"h:8080", "h"}, "h"},
		{[]string{"h:80", "h.:8080"}, "h.:8080"},
		{[]string{"h", ""}, "h"}, // HTTP/1.0 without a Host
		{[]string{"", "h"}, "h"},
		{[]string{"", ""}, "s"},
		{[]string{"[::1]", "[::1]:8080"}, "[::1]:8080"},
		{[]string{"[::1]:1", "[::1]"}, "[::1]"},
	} {
		vars := []string{"SERVER_NAME", "s"}
		for _, h := range test.hosts {
			vars = append(vars, "HTTP_HOST", h)
		}
		if req, err := convert(vars...); err != nil || req.Host != test.want {
			t.Errorf("%q: %v, %v", test.hosts, req, err)
		}
	}
}

func TestWhatHTTPWouldNotAccept(t *testing.T) {
	for _, test := range []struct {
		err  error
		vars []string
	}{
		{errURI, []string{"REQUEST_URI", "@evil/x"}},
		{errURI, []string{"REQUEST_URI", "/a%zz"}},
		{errURI, []string{"REQUEST_URI", "relative"}},
		{errURI, []string{"REQUEST_URI", "/a\r\nb"}},
		{errMethod, []string{"REQUEST_METHOD", "GE T"}},
		{errMethod, []string{"REQUEST_METHOD", "\n"}},
		{errHost, []string{"HTTP_HOST", "a b"}},
		{errHost, []string{"HTTP_HOST", "a\r\nX: y"}},
		{errHost, []string{"HTTP_HOST", "a", "HTTP_HOST", "b"}},
		{errHost, []string{"HTTP_HOST", "a:1", "HTTP_HOST", "b:1"}},
		{errHost, []string{"HTTP_HOST", "a", "HTTP_HOST", "b", "HTTP_HOST", "b"}},
		{errHost, []string{"HTTP_HOST", "a", "HTTP_HOST", "", "HTTP_HOST", "b"}},
		{errHost, []string{"HTTP_HOST", "a:1", "HTTP_HOST", "a:b"}},
		{errHost, []string{"HTTP_HOST", "[::1]", "HTTP_HOST", "[::2]"}},
		{errHost, []string{"HTTP_HOST", "[::1]", "HTTP_HOST", "[::"}},
		{errHost, []string{"HTTP_HOST", "a", "HTTP_HOST", "a.b"}},
		{errHeaderField, []string{"HTTP_A\nB", "x"}},
		{errHeaderField, []string{"HTTP_A B", "x"}},
		{errHeaderField, []string{"HTTP_", "x"}},
		{errHeaderField, []string{"HTTP_A", "x\r\nSet-Cookie: y"}},
		{errHeaderField, []string{"HTTP_A", "\x01"}},
		{errHeaderField, []string{"HTTP_A", "\x7f"}},
		{errHeaderField, []string{"CONTENT_TYPE", "a/b\r\nX: y"}},
	} {
		if req, err := convert(test.vars...); !errors.Is(err, test.err) {
			t.Errorf("%q: %v, %v", test.vars, req, err)
		}
	}
	l := listen(t, "unix")
	start(t, &Server{Handler: HTTPHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }))}, l)
	if r := parseReply(t, ask(t, l.Addr(), get("@evil/x"))); r.Status != 400 {
		t.Errorf("%+v", r)
	}
}

func TestProtocolAndMethod(t *testing.T) {
	for in, want := range map[string]string{"HTTP/1.1": "HTTP/1.1 1 1", "HTTP/1.0": "HTTP/1.0 1 0", "HTTP/2": "HTTP/2.0 2 0", "HTTP/2.0": "HTTP/2.0 2 0", "HTTP/3": "HTTP/3.0 3 0", "HTTP/0.9": "HTTP/0.9 0 9", "INCLUDED": "HTTP/1.0 1 0", "": "HTTP/1.0 1 0", "HTTP/x": "HTTP/1.0 1 0"} {
		req, err := convert("SERVER_PROTOCOL", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(req.Proto, " ", req.ProtoMajor, " ", req.ProtoMinor); got != want {
			t.Errorf("%q gives %s", in, got)
		}
	}
	req, _ := convert()
	if req.Method != "GET" || req.Body != http.NoBody {
		t.Errorf("no method, no body: %s", req.Method)
	}
	body := io.NopCloser(strings.NewReader("h"))
	req, _ = newHTTPRequest(&Request{Env: NewEnv("CONTENT_LENGTH", "1", "CONTENT_LENGTH", ""), ContentLength: 1, Body: body})
	if req.Method != "POST" || req.ContentLength != 1 || req.Body != body || req.Header.Get("Content-Length") != "1" {
		t.Errorf("no method, a body: %+v", req)
	}
	for _, r := range []Request{{Body: body}, {ContentLength: 1}} {
		if req, err := newHTTPRequest(&r); err != nil || req.Body != http.NoBody {
			t.Errorf("%+v: %v, %v", r, req, err)
		}
	}
}

func TestRemoteAddrAndTLS(t *testing.T) {
	for _, test := range []struct {
		vars []string
		want string
	}{
		{[]string{"REMOTE_ADDR", "203.0.113.9", "REMOTE_PORT", "1234"}, "203.0.113.9:1234"},
		{[]string{"REMOTE_ADDR", "2001:db8::1", "REMOTE_PORT", "1234"}, "[2001:db8::1]:1234"},
		{[]string{"REMOTE_ADDR", "2001:db8::1"}, "[2001:db8::1]:0"},
		{[]string{"REMOTE_ADDR", "unix:"}, "unix:"},
		{[]string{"REMOTE_ADDR", "127.0.0.1:48034"}, "127.0.0.1:48034"},
		{nil, ""},
	} {
		req, _ := convert(test.vars...)
		if req.RemoteAddr != test.want {
			t.Errorf("%q: %q", test.vars, req.RemoteAddr)
		}
	}
	for value, want := range map[string]bool{"on": true, "On": true, "1": true, "off": false, "": false, "0": false} {
		if req, _ := convert("HTTPS", value); (req.TLS != nil) != want {
			t.Errorf("HTTPS=%q: %v", value, req.TLS)
		}
	}
}

func TestHeaderFields(t *testing.T) {
	req, err := convert("CONTENT_TYPE", "a/b ", "HTTP_CONTENT_TYPE", "a/b", "HTTP_HOST", "h", "HTTP_PROXY", "evil:80",
		"HTTP_TRANSFER_ENCODING", "chunked", "HTTP_TRAILER", "X", "HTTP_X_ODD!~", "1", "HTTP_x_lower", "2", "HTTP_USER_AGENT", " \tua ",
		"HTTP_COOKIE", "a=1", "HTTP_COOKIE", "b=2", "HTTP_X", "", "HTTP__", "1", "HTTP_IF_MODIFIED-SINCE", "then",
		"HTTP_AUTHORIZATION", "Basic dTpw", "AUTHORIZATION", "no")
	if err != nil {
		t.Fatal(err)
	}
	want := http.Header{"Content-Type": {"a/b"}, "X-Odd!~": {"1"}, "X-Lower": {"2"}, "User-Agent": {"ua"}, "Cookie": {"a=1", "b=2"},
		"X": {""}, "-": {"1"}, "If-Modified-Since": {"then"}, "Authorization": {"Basic dTpw"}}
	if fmt.Sprint(req.Header) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", req.Header, want)
	}
	if u, p, _ := req.BasicAuth(); u != "u" || p != "p" {
		t.Errorf("BasicAuth: %q %q", u, p)
	}
	if len(req.Cookies()) != 2 {
		t.Errorf("cookies: %v", req.Cookies())
	}
	// The values share an array: appending to one must not reach the next.
	req.Header.Add("X", "more")
	req.Header.Add("Content-Type", "more")
	if req.Header.Get("-") != "1" || req.Header.Get("X-Odd!~") != "1" {
		t.Errorf("fields overlap: %v", req.Header)
	}
	if req, _ := convert("HTTP_CONTENT_TYPE", "only/http"); req.Header.Get("Content-Type") != "only/http" {
		t.Errorf("without CONTENT_TYPE: %v", req.Header)
	}
}

func TestFromContext(t *testing.T) {
	l := listen(t, "unix")
	start(t, &Server{Handler: HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r, ok := FromContext(req.Context())
		fmt.Fprint(w, ok, r.Env.Get("REMOTE_USER"), " ", req.RemoteAddr == r.RemoteAddr().String())
	}))}, l)
	if r := parseReply(t, ask(t, l.Addr(), encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "REMOTE_USER", "alice"))); r.Body != "truealice true" {
		t.Errorf("%+v", r)
	}
	// A Request with another context, or made by hand, is found all the same.
	r := &Request{Env: NewEnv("A", "b")}
	for _, r := range []*Request{r, r.WithContext(r.Context())} {
		HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if got, ok := FromContext(req.Context()); !ok || got != r {
				t.Errorf("%v, %t", got, ok)
			}
		})).ServeSCGI(nil, r)
	}
	if _, ok := FromContext(t.Context()); ok {
		t.Error("a Request from nowhere")
	}
}

func TestServeMuxPathValues(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("id")) })
	mux.Handle("/app/", http.StripPrefix("/app", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })))
	l := listen(t, "unix")
	start(t, &Server{Handler: HTTPHandler(mux)}, l)
	for uri, want := range map[string]string{"/items/42": "42", "/app/x/y": "/x/y", "/none": "404 page not found\n"} {
		if r := parseReply(t, ask(t, l.Addr(), get(uri))); r.Body != want {
			t.Errorf("%s: %+v", uri, r)
		}
	}
}

// What each web server made of a client's request becomes what net/http makes
// of the same request itself, but for the differences that are named here.
func TestCapturesAgreeWithNetHTTP(t *testing.T) {
	files, _ := filepath.Glob("testdata/captures/*/*.scgi")
	compared := 0
	for _, file := range files {
		wire, _ := os.ReadFile(file)
		text, _ := os.ReadFile(strings.TrimSuffix(file, ".scgi") + ".http")
		direct, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		start, end, cutErr := cutNetstring(wire, DefaultMaxHeaderBytes)
		if err != nil || len(wire) == 0 || cutErr != nil {
			continue
		}
		block := string(wire[start:end])
		h, err := parseHeader(block, false)
		if err != nil {
			continue
		}
		req, err := newHTTPRequest(&Request{Env: Env{block}, ContentLength: max(h.length, h.client), Body: http.NoBody})
		name := strings.TrimPrefix(filepath.ToSlash(file), "testdata/captures/")
		if err != nil {
			t.Errorf("%s: %v, but net/http accepts it", name, err)
			continue
		}
		compared++
		if d := differences(req, direct); len(d) > 0 && !explained(name, d) {
			t.Errorf("%s: %q", name, d)
		}
	}
	if compared < 150 {
		t.Errorf("only %d were compared", compared)
	}
	for _, e := range explanations {
		if !e.used {
			t.Errorf("nothing differs any more by %q", e.why)
		}
	}
}

func differences(got, want *http.Request) (d []string) {
	compare := func(what, got, want string) {
		if got != want {
			d = append(d, what+": "+got+" for "+want)
		}
	}
	compare("method", got.Method, want.Method)
	compare("uri", got.RequestURI, want.RequestURI)
	compare("path", got.URL.Path, want.URL.Path)
	compare("query", got.URL.RawQuery, want.URL.RawQuery)
	compare("host", got.Host, want.Host)
	for name := range want.Header {
		compare("field "+name, strings.Join(got.Header[name], "|"), strings.Join(want.Header[name], "|"))
	}
	for name := range got.Header {
		if want.Header[name] == nil {
			compare("field "+name, strings.Join(got.Header[name], "|"), "")
		}
	}
	return d
}

// explained reports whether every difference of the capture is known, and marks
// the reasons as used.
func explained(name string, differences []string) bool {
	for _, d := range differences {
		what, _, _ := strings.Cut(d, ":")
		known := false
		for i, e := range explanations {
			nameOK, _ := path.Match(e.capture, name)
			whatOK, _ := path.Match(e.what, what)
			if nameOK && whatOK {
				explanations[i].used, known = true, true
			}
		}
		if !known {
			return false
		}
	}
	return true
}

var explanations = []struct {
	capture, what, why string
	used               bool
}{
	{capture: "*/hdr-proxy.scgi", what: "field Proxy", why: "dropped: CVE-2016-5385"},
	{capture: "*/hdr-dup*.scgi", what: "field *", why: "lighttpd and Apache join repeated fields; nginx sends one CONTENT_TYPE"},
	{capture: "*/hdr-cookies-many.scgi", what: "field Cookie", why: "lighttpd and Apache join them"},
	{capture: "*/hdr-inject-cgi.scgi", what: "field *_*", why: "the web server drops names with an underscore"},
	{capture: "lighttpd*/hdr-inject-cgi.scgi", what: "field *", why: "lighttpd reads an underscore as a dash, also in Content_Length"},
	{capture: "*/hdr-underscore*.scgi", what: "field X*", why: "dropped by the web server, or read as a dash"},
	{capture: "*/hdr-odd-names.scgi", what: "field X*", why: "dropped by the web server, or changed to dashes"},
	{capture: "*/http10*.scgi", what: "host", why: "without a Host there is SERVER_NAME"},
	{capture: "*/post-cl-zeros.scgi", what: "field Content-Length", why: "the web server normalises it"},
	{capture: "*/post-chunked*.scgi", what: "field Content-Length", why: "the web server has collected the body and knows its length"},
	{capture: "apache*/hdr-auth-basic.scgi", what: "field Authorization", why: "kept back without CGIPassAuth On"},
	{capture: "apache*/hdr-proxy-conn.scgi", what: "field Proxy-Authorization", why: "kept back"},
	{capture: "apache*/post-empty-cl0.scgi", what: "field Content-Length", why: "HTTP_CONTENT_LENGTH is not sent, so a 0 can't be told from nothing"},
	{capture: "lighttpd*/hdr-obsfold.scgi", what: "field X-Fold", why: "unfolded its own way"},
	{capture: "lighttpd*/hdr-upgrade-h2c.scgi", what: "field Connection", why: "taken out by lighttpd"},
	{capture: "lighttpd*/post-expect*.scgi", what: "field Expect", why: "answered by lighttpd"},
	{capture: "*/host-port.scgi", what: "host", why: "lower case; Debian's nginx sends $host, without the port"},
	{capture: "nginx*/host-ipv6.scgi", what: "host", why: "Debian's nginx sends $host, without the port"},
	{capture: "*/get-fragment.scgi", what: "*", why: "no part of the path that the web server means"},
	{capture: "lighttpd*/get-double-q.scgi", what: "*", why: "before 1.4.85 the path goes up to the last question mark"},
	{capture: "nginx*/get-absolute-uri.scgi", what: "*", why: "nginx makes it a path"},
}

func TestConnectionStaysUsableUnderNetHTTPHelpers(t *testing.T) {
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
		start(t, &Server{Handler: HTTPHandler(mux)}, l)
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

// untilTooLate returns once the reply is TimeoutHandler's, which else may find
// that the handler has ended in time.
func untilTooLate(w http.ResponseWriter, r *http.Request) {
	for _, err := w.Write(nil); err != http.ErrHandlerTimeout; _, err = w.Write(nil) {
		runtime.Gosched()
	}
}

func BenchmarkHTTPRequest(b *testing.B) {
	r := &Request{Env: typical, Body: http.NoBody}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newHTTPRequest(r); err != nil {
			b.Fatal(err)
		}
	}
}

// As under net/http, and after a panic too.
func TestFormsLeaveNothingOnDisk(t *testing.T) {
	for _, uri := range []string{"/", "/panic"} {
		leak.TempFiles(t)
		l := listen(t, "unix")
		start(t, &Server{Handler: HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(0); err != nil {
				t.Error(err)
			}
			if files, err := os.ReadDir(os.TempDir()); len(files) == 0 {
				t.Errorf("nothing is on disk, %v", err)
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

// formRequest sends a file of size bytes.
