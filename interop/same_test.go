package interop_test

// same_test.go sends the same requests to one app behind each web server and under
// net/http, and compares the answers. differences_test.go must explain every difference,
// and an explanation without a difference fails too.

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/scgi"
)

// A namedCall has a name to which explanations refer.
type namedCall struct {
	name string
	call call
}

// calls are the requests that are compared.
var calls = []namedCall{
	{"GET", get("/dump")},
	{"HEAD", call{method: "HEAD", target: "/files/a.txt"}},
	{"HEAD of a page", call{method: "HEAD", target: "/sniffed"}},
	{"POST", call{method: "POST", target: "/dump", body: "a=b", fields: []string{"Content-Type: application/x-www-form-urlencoded"}}},
	{"POST without a body", call{method: "POST", target: "/dump"}},
	{"PUT", call{method: "PUT", target: "/dump", body: "new"}},
	{"PATCH", call{method: "PATCH", target: "/dump", body: "part"}},
	{"DELETE", call{method: "DELETE", target: "/dump"}},
	{"DELETE with a body", call{method: "DELETE", target: "/dump", body: "which"}},
	{"OPTIONS", call{method: "OPTIONS", target: "/dump"}},
	{"PROPFIND", call{method: "PROPFIND", target: "/dump", body: "<prop/>"}},
	{"unknown method", call{method: "FOOBAR", target: "/dump"}},
	{"chunked", call{method: "POST", target: "/dump", body: pattern(12345), chunked: true}},

	{"page", get("/sniffed")},
	{"204", get("/status/204")},
	{"304", get("/status/304")},
	{"404", get("/nothing/here")},
	{"418", get("/status/418")},
	{"500", get("/status/500")},
	{"599", get("/status/599")},
	{"timeout", get("/timeout")},

	{"file", get("/files/a.txt")},
	{"range", call{target: "/files/a.txt", fields: []string{"Range: bytes=5-14"}}},
	{"suffix range", call{target: "/files/a.txt", fields: []string{"Range: bytes=-3"}}},
	{"two ranges", call{target: "/files/a.txt", fields: []string{"Range: bytes=0-1,5-6"}}},
	{"unsatisfiable range", call{target: "/files/a.txt", fields: []string{"Range: bytes=5000-"}}},
	{"not modified", call{target: "/files/a.txt", fields: []string{"If-Modified-Since: Mon, 23 Jun 2008 00:00:00 GMT"}}},
	{"modified", call{target: "/files/a.txt", fields: []string{"If-Modified-Since: Sun, 22 Jun 2008 00:00:00 GMT"}}},
	{"index", get("/files/d/")},
	{"folder without slash", get("/files/d")},

	{"relative redirect", get("/redirect/relative")},
	{"path redirect", get("/redirect/path")},
	{"absolute redirect", get("/redirect/absolute")},
	{"cookies", call{target: "/cookies", fields: []string{"Cookie: a=1; b=2"}}},
	{"two Cookie lines", call{target: "/dump", fields: []string{"Cookie: a=1", "Cookie: b=2"}}},
	{"no credentials", get("/basic")},
	{"basic auth", call{target: "/basic", fields: []string{"Authorization: Basic YWxpY2U6c2VjcmV0"}}},
	{"response headers", get("/headers")},

	{"long header", call{target: "/dump", fields: []string{"X-Long: " + strings.Repeat("y", 6000)}}},
	{"repeated header", call{target: "/dump", fields: []string{"X-Twice: one", "X-Twice: two"}}},
	{"many headers", call{target: "/dump", fields: numbered(60)}},
	{"empty header", call{target: "/dump", fields: []string{"X-Empty:"}}},
	{"underscore header", call{target: "/dump", fields: []string{"X_Under: a", "X-Dash: b"}}},
	{"Latin-1 header", call{target: "/dump", fields: []string{"X-Name: J\xfcrgen"}}},
	{"Proxy header", call{target: "/dump", fields: []string{"Proxy: http://evil.example"}}},
	{"Remote-User header", call{target: "/dump", fields: []string{"Remote-User: root"}}},
	{"host with a port", call{target: "/dump", host: "interop.test:8080"}},

	{"query", get("/dump?x=1&y=two")},
	{"empty query", get("/dump?")},
	{"escaped query", get("/dump?q=%C3%A9%22%3C&r=a+b%20c")},
	{"escaped control in the query", get("/dump?q=%0d%0a")},
	{"escaped NUL in the query", get("/dump?q=%00")},
	{"bad escape in the query", get("/dump?q=100%&r=%zz")},
	{"odd bytes in the query", get("/dump?a;b='\"<>|{}\\^`")},
	{"raw UTF-8 in the query", get("/dump?n=J\xc3\xbcrgen")},
	{"raw Latin-1 in the query", get("/dump?n=J\xfcrgen")},
	{"two question marks", get("/dump?a=1?b=2")},
	{"escaped space", get("/dump/a%20b")},
	{"escaped slash", get("/dump/a%2Fb")},
	{"escaped UTF-8", get("/dump/%C3%A9")},
	{"raw UTF-8", get("/dump/\xc3\xa9")},
	{"escaped letter", get("/dump/%61")},
	{"escaped NUL", get("/dump/%00")},
	{"bad escape", get("/dump/%zz")},
	{"two slashes", get("/dump//x")},
	{"two slashes to clean", get("/files//a.txt")},
	{"dots", get("/dump/a/../b")},
	{"dots to clean", get("/files/d/../a.txt")},
	{"semicolon and plus", get("/dump/a;b+c:d@e,f")},

	{"upload form", formUpload()},
	{"not a form", call{method: "POST", target: "/multipart", body: "x"}},
}

func TestDifferencesNameCalls(t *testing.T) {
	for _, d := range differences {
		named := func(c namedCall) bool { return c.name == d.call }
		if d.call != anyCall && !slices.ContainsFunc(calls, named) {
			t.Errorf("there is no call %q", d.call)
		}
	}
}

func numbered(n int) (fields []string) {
	for i := range n {
		fields = append(fields, fmt.Sprintf("X-Number-%d: %d", i, i))
	}
	return fields
}

func formUpload() call {
	body := "--frontier\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n" +
		"--frontier\r\nContent-Disposition: form-data; name=\"upload\"; filename=\"a.bin\"\r\n\r\n" +
		pattern(100_000) + "\r\n--frontier--\r\n"
	return call{method: "POST", target: "/multipart", body: body, fields: []string{"Content-Type: multipart/form-data; boundary=frontier"}}
}

func TestSameAsNetHTTP(t *testing.T) { compare(t, "", app()) }

func TestSameAsNetHTTPUnderAPrefix(t *testing.T) {
	compare(t, "/app", http.StripPrefix("/app", app()))
}

func compare(t *testing.T, prefix string, h http.Handler) {
	reference := direct(t, h)
	ask := func(c namedCall, addr string) map[string]string {
		f := fields(c.call.under(prefix).do(t, addr))
		if uri, ok := f["r.RequestURI"]; ok { // the rows have no prefix
			f["r.RequestURI"] = strings.Replace(uri, `"`+prefix, `"`, 1)
		}
		return f
	}
	want := make(map[string]map[string]string)
	for _, c := range calls {
		want[c.name] = ask(c, reference)
	}
	s := site{handler: scgi.HTTPHandler(h), prefix: prefix != ""}
	s.each(t, func(t *testing.T, fr front) {
		for _, c := range calls {
			compareFields(t, fr, c.name, ask(c, fr.addr), want[c.name])
		}
	})
}

func (c call) under(prefix string) call {
	c.target = prefix + c.target
	return c
}

// fields returns the parts of an answer to compare: everything except what belongs to the
// connection or to the server.
func fields(a answer) map[string]string {
	f := map[string]string{"status": fmt.Sprint(a.status), "whole": fmt.Sprint(a.err == nil)}
	for name, values := range a.header {
		switch name {
		case "Date", "Server", "Connection", "Keep-Alive", "Transfer-Encoding":
		default:
			f[name] = strings.Join(values, " | ")
		}
	}
	boundary := "\x00"
	if _, b, ok := strings.Cut(f["Content-Type"], "multipart/byteranges; boundary="); ok {
		boundary = b // random
		f["Content-Type"] = "multipart/byteranges"
	}
	if f["Content-Type"] != dumpType {
		f["body"] = short(strings.ReplaceAll(a.body, boundary, "BOUNDARY"))
		return f
	}
	delete(f, "Content-Length") // differs with the dump
	for line := range strings.SplitSeq(a.body, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		f["r."+name] = value
	}
	delete(f, "r.Header[Connection]") // set by the web server
	return f
}

func short(s string) string {
	if len(s) > 400 {
		return hash(s)
	}
	return s
}

// compareFields fails for differences without an explanation, and for explanations without a
// difference. A missing field is "-".
func compareFields(t *testing.T, fr front, name string, got, want map[string]string) {
	t.Helper()
	got, want = toCompare(got, want)
	names := maps.Clone(got)
	maps.Copy(names, want)
	for _, d := range differences {
		if d.call == name && d.servers.include(fr) {
			names[d.field] = ""
		}
	}
	for field := range names {
		g, w := orDash(got, field), orDash(want, field)
		d, explained := explain(fr, name, field)
		switch {
		case explained && g == d.got && (g != w || d.call == anyCall):
		case explained && g == w && d.call == anyCall:
		case explained:
			t.Errorf("%s: %s: got %s, want %s because %s; net/http: %s", name, field, g, d.got, d.why, w)
		case g != w:
			t.Errorf("%s: %s: got %s, want %s", name, field, g, w)
		}
	}
}

// toCompare returns what to compare of two answers. If the web server itself made one of
// them, only the status counts.
func toCompare(got, want map[string]string) (_, _ map[string]string) {
	if got["X-From"] == "app" {
		return got, want
	}
	return map[string]string{"status": got["status"] + ", its own"}, map[string]string{"status": want["status"] + own(want)}
}

func own(fields map[string]string) string {
	if fields["X-From"] == "app" {
		return ""
	}
	return ", its own"
}

func orDash(m map[string]string, name string) string {
	if v, ok := m[name]; ok {
		return v
	}
	return "-"
}
