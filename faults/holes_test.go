package faults

// holes_test.go tests that vulnerabilities known from other servers are closed here. Each
// has its CVE or CWE number, if there is one.

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/scgi"
)

// handedOn is a handler that reports the request as net/http's level sees it.
func handedOn(got chan *http.Request) scgi.Handler {
	return scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
		got <- r
	}))
}

// CVE-2016-5385, httpoxy: a client's Proxy field must not become HTTP_PROXY, which programs
// read as configuration.
func TestHTTPoxy(t *testing.T) { checkHTTPoxy(t, "HTTP_PROXY") }

// Field names, and on some systems variable names, are the same in any case.
func TestHTTPoxyInAnyCase(t *testing.T) {
	for _, name := range []string{"HTTP_proxy", "HTTP_Proxy", "HTTP_pRoXy"} {
		checkHTTPoxy(t, name)
	}
}

func checkHTTPoxy(t *testing.T, name string) {
	t.Helper()
	l := listen(t, "unix")
	got := make(chan *http.Request, 1)
	start(t, &scgi.Server{Handler: handedOn(got)}, l)
	ask(t, l.Addr(), encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_HOST", "h", name, "http://evil/", name, "http://evil/"))
	r := <-got
	over, _ := scgi.FromContext(r.Context())
	if len(r.Header["Proxy"]) != 0 {
		t.Errorf("%s: Header has %q", name, r.Header)
	}
	for _, v := range over.Env.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.EqualFold(name, "HTTP_PROXY") {
			t.Errorf("%s: Environ has %q", name, v)
		}
	}
}

// CWE-113, response splitting: no value can end a line or begin the body.
func TestResponseSplitting(t *testing.T) {
	for _, evil := range []string{"x\r\nSet-Cookie: a=b", "x\nSet-Cookie: a=b", "x\rSet-Cookie: a=b", "x\r\n\r\n<script>", "x\n\n<script>", "\r\n\r\n<script>", "x\x00\r\n\v\f\x85"} {
		raw := serveOnce(t, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Location", evil)
			w.Header().Set("X-"+evil, "name")
			w.Header().Set("Content-Type", "text/plain"+evil)
			w.Header().Add("Set-Cookie", "n="+evil)
			w.WriteHeader(302)
			io.WriteString(w, "body")
		}, get("/"))
		r := parseReply(t, raw) // which fails on a malformed line
		if r.Status != 302 || r.Body != "body" || slices.ContainsFunc(r.Header["Set-Cookie"], func(c string) bool { return !strings.HasPrefix(c, "n=") }) {
			t.Errorf("%q got through: %q", evil, raw)
		}
	}
}

// The server sniffs only a reply without a Content-Type, and keeps the handler's
// X-Content-Type-Options.
func TestHTMLIsNotSniffedFromTypedReply(t *testing.T) {
	const page = "<html><script>evil()</script>"
	for set, want := range map[string]string{"text/plain": "text/plain", "application/json": "application/json", "": "text/html; charset=utf-8"} {
		raw := serveOnce(t, func(w http.ResponseWriter, r *scgi.Request) {
			if set != "" {
				w.Header().Set("Content-Type", set)
			}
			w.Header().Set("X-Content-Type-Options", "nosniff")
			io.WriteString(w, page)
		}, get("/"))
		if r := parseReply(t, raw); !slices.Equal(r.Header["Content-Type"], []string{want}) || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q: %q", set, raw)
		}
	}
}

// X_Forwarded_For and X-Forwarded-For become one variable. Neither hides the other: the app
// sees both values in order, and can refuse the pair.
func TestUnderscoreForDash(t *testing.T) {
	l := listen(t, "unix")
	got := make(chan *http.Request, 1)
	start(t, &scgi.Server{Handler: handedOn(got)}, l)
	ask(t, l.Addr(), encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_HOST", "h", "HTTP_X_FORWARDED_FOR", "evil", "HTTP_X_FORWARDED_FOR", "192.0.2.1"))
	if r := <-got; !slices.Equal(r.Header["X-Forwarded-For"], []string{"evil", "192.0.2.1"}) {
		t.Errorf("%q", r.Header)
	}
	// A variable that no web server makes from a field is not taken for a field.
	ask(t, l.Addr(), encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_HOST", "h", "HTTP_X-FORWARDED-FOR", "evil", "http_X_FORWARDED_FOR", "evil", "X_FORWARDED_FOR", "evil"))
	if r := <-got; len(r.Header) != 1 || len(r.Header["X-Forwarded-For"]) != 1 {
		t.Errorf("%q", r.Header)
	}
}

// CWE-444, request smuggling: one length frames the body, and input with two different
// lengths is refused. If the client has announced more than was passed on, reading the body
// fails.
func TestLengthSmuggling(t *testing.T) {
	for _, test := range []struct {
		name   string
		vars   []string
		status int
		body   string
	}{
		{"twice, alike", []string{"CONTENT_LENGTH", "4", "CONTENT_LENGTH", "4"}, 200, "body"},
		{"twice, alike in value", []string{"CONTENT_LENGTH", "4", "CONTENT_LENGTH", "04"}, 200, "body"},
		{"twice, the second empty", []string{"CONTENT_LENGTH", "4", "CONTENT_LENGTH", ""}, 200, "body"},
		{"twice, the first empty", []string{"CONTENT_LENGTH", "", "CONTENT_LENGTH", "4"}, 400, ""},
		{"twice, longer", []string{"CONTENT_LENGTH", "4", "CONTENT_LENGTH", "8"}, 400, ""},
		{"twice, shorter", []string{"CONTENT_LENGTH", "4", "CONTENT_LENGTH", "0"}, 400, ""},
		{"twice, the second no number", []string{"CONTENT_LENGTH", "4", "CONTENT_LENGTH", "4, 8"}, 400, ""},
		{"a list", []string{"CONTENT_LENGTH", "4, 4"}, 400, ""},
		{"hexadecimal", []string{"CONTENT_LENGTH", "0x4"}, 400, ""},
		{"the client's is longer", []string{"CONTENT_LENGTH", "4", "HTTP_CONTENT_LENGTH", "8"}, 200, ""},
		{"the client's is longer, before", []string{"HTTP_CONTENT_LENGTH", "8", "CONTENT_LENGTH", "4"}, 200, ""},
		{"the client's is past 63 bits", []string{"CONTENT_LENGTH", "4", "HTTP_CONTENT_LENGTH", "99999999999999999999"}, 400, ""},
		{"one of the client's is longer", []string{"CONTENT_LENGTH", "4", "HTTP_CONTENT_LENGTH", "8", "HTTP_CONTENT_LENGTH", "4"}, 200, ""},
		{"the client's is shorter", []string{"CONTENT_LENGTH", "4", "HTTP_CONTENT_LENGTH", "1"}, 200, "body"},
		{"lower case is another name", []string{"CONTENT_LENGTH", "4", "content_length", "8"}, 200, "body"},
		{"chunked", []string{"CONTENT_LENGTH", "4", "HTTP_TRANSFER_ENCODING", "chunked"}, 200, "body"},
	} {
		for level, h := range map[string]scgi.Handler{"native": echo, "http": handedOn(make(chan *http.Request, 1))} {
			l := listen(t, "unix")
			start(t, &scgi.Server{Handler: h}, l)
			request := encode("bodyGET / smuggled", append(slices.Clone(test.vars), "SCGI", "1", "HTTP_HOST", "h")...)
			if r := parseReply(t, ask(t, l.Addr(), request)); r.Status != test.status || r.Status == 200 && r.Body != test.body {
				t.Errorf("%s, %s: %d %q", test.name, level, r.Status, r.Body)
			}
		}
	}
}

// REMOTE_USER comes from the web server alone: no header field of the client sets it.
func TestForgedUser(t *testing.T) {
	l := listen(t, "unix")
	got := make(chan *http.Request, 1)
	start(t, &scgi.Server{Handler: handedOn(got)}, l)
	forged := []string{"CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_HOST", "h"}
	for _, name := range []string{"REMOTE_USER", "REMOTE_ADDR", "REMOTE_PORT", "HTTPS", "AUTH_TYPE", "SERVER_NAME", "SCRIPT_NAME", "PATH_INFO", "REQUEST_METHOD", "REQUEST_URI", "DOCUMENT_ROOT"} {
		forged = append(forged, "HTTP_"+name, "evil")
	}
	ask(t, l.Addr(), encode("", forged...))
	r := <-got
	over, _ := scgi.FromContext(r.Context())
	if user, ok := over.Env.Lookup("REMOTE_USER"); ok {
		t.Errorf("REMOTE_USER is %q", user)
	}
	if said := fmt.Sprint(r.Method, r.URL, r.Host, r.RemoteAddr, r.TLS, r.RequestURI); strings.Contains(said, "evil") || r.TLS != nil {
		t.Errorf("%s", said)
	}
	if _, _, ok := r.BasicAuth(); ok || r.Header.Get("Remote-User") != "evil" {
		t.Errorf("%q", r.Header)
	}
}
