package scgi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// nginx's configuration may send HTTP_HOST twice: Debian's sends $host, and a user who needs
// the port adds another.
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

func TestHTTPHandlerRefusesBadRequests(t *testing.T) {
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
	w := httptest.NewRecorder()
	never := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	HTTPHandler(never).ServeSCGI(w, &Request{Env: NewEnv("REQUEST_URI", "@evil/x")})
	if w.Code != 400 {
		t.Errorf("answered with %d", w.Code)
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
	// The values share an array. Appending to one must not overwrite the next.
	req.Header.Add("X", "more")
	req.Header.Add("Content-Type", "more")
	if req.Header.Get("-") != "1" || req.Header.Get("X-Odd!~") != "1" {
		t.Errorf("fields overlap: %v", req.Header)
	}
	if req, _ := convert("HTTP_CONTENT_TYPE", "only/http"); req.Header.Get("Content-Type") != "only/http" {
		t.Errorf("without CONTENT_TYPE: %v", req.Header)
	}
}

// A captured request of each web server becomes the request that net/http makes of the
// client's bytes, apart from the differences listed below.
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
			t.Errorf("no capture shows the difference %q any more", e.why)
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

// explained reports whether every difference of the capture is listed, and marks the reasons
// as used.
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
	{capture: "*/get-dotdot-enc.scgi", what: "*", why: "dots that only decoding reveals: the path is the web server's"},
	{capture: "*/get-fragment.scgi", what: "*", why: "no part of the path that the web server means"},
	{capture: "lighttpd*/get-double-q.scgi", what: "*", why: "before 1.4.85 the path goes up to the last question mark"},
	{capture: "nginx*/get-absolute-uri.scgi", what: "*", why: "nginx makes it a path"},
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
