package scgi_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"example.com/scgi"
)

func TestProduce(t *testing.T) {
	for _, kind := range kinds {
		l := listen(t, kind)
		start(t, &scgi.Server{Handler: scgi.ProduceFunc(func(env scgi.Env, size int64, in io.Reader, out io.Writer) {
			switch env.Get("REQUEST_URI") {
			case "/raw":
				io.Copy(out, in)
			case "/flush":
				io.WriteString(out, "<a>")
				out.(http.Flusher).Flush()
				io.WriteString(out, "</a>")
			case "/big":
				out.Write(bytes.Repeat([]byte("y"), 100000))
			case "/panic":
				io.WriteString(out, "half")
				panic(http.ErrAbortHandler)
			}
		})}, l)
		const page = "Status: 404 My Own\nX: y\n\nno\r\n"
		if got := ask(t, l.Addr(), post("/raw", page)); got != page {
			t.Errorf("%s: %q", kind, got)
		}
		if got := ask(t, l.Addr(), get("/flush")); got != "<a></a>" {
			t.Errorf("%s: %q", kind, got)
		}
		if got := ask(t, l.Addr(), get("/big")); len(got) != 100000 {
			t.Errorf("%s: %d bytes", kind, len(got))
		}
		if got := ask(t, l.Addr(), get("/nothing")); got != "" {
			t.Errorf("%s: %q", kind, got)
		}
		if got := parseReply(t, ask(t, l.Addr(), get("/panic"))); got.Status != 500 {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestProduceBehindWrappers(t *testing.T) {
	produce := scgi.ProduceFunc(func(env scgi.Env, size int64, in io.Reader, out io.Writer) { io.WriteString(out, "raw") })
	l := listen(t, "unix")
	start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { produce.ServeSCGI(wrapped{wrapped{w}}, r) })}, l)
	if got := ask(t, l.Addr(), get("/")); got != "raw" {
		t.Errorf("%q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("ProduceFunc accepted another package's ResponseWriter")
		}
	}()
	produce.ServeSCGI(struct{ http.ResponseWriter }{}, &scgi.Request{})
}

// A Location without a status is a redirect in CGI (RFC 3875 §6.2.3), and a 200 in net/http.
func TestLocationWithoutStatus(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Location", "/x") })
	native := scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { h(w, nil) })
	wrapper := scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { scgi.HTTPHandler(h).ServeSCGI(wrapped{w}, r) })
	for status, handlers := range map[int][]scgi.Handler{302: {native}, 200: {scgi.HTTPHandler(h), wrapper}} {
		for _, h := range handlers {
			raw, _ := serveOnce(t, h.ServeSCGI, get("/"))
			if r := parseReply(t, raw); r.Status != status || r.Header.Get("Location") != "/x" {
				t.Errorf("%T: %+v, want %d", h, r, status)
			}
		}
	}
}

func TestNilHandlerPrintsTheVariables(t *testing.T) {
	l := listen(t, "unix")
	start(t, &scgi.Server{}, l)
	r := parseReply(t, ask(t, l.Addr(), encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "B", "a\r\nFAKE: 1", "A\n", "2")))
	want := "CONTENT_LENGTH: \"0\"\nSCGI: \"1\"\nB: \"a\\r\\nFAKE: 1\"\nA\\n: \"2\"\n"
	if r.Body != want || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%q, want %q", r.Body, want)
	}
}

// If the web server passes on less of a body than the client announced, the request is
// served at each level with the client's length. Only reading the body fails.
func TestBodyNotPassedOn(t *testing.T) {
	report := func(length int64, body io.Reader) string {
		n, err := body.Read(make([]byte, 100))
		return fmt.Sprint(length, n, err != nil && err != io.EOF && err != io.ErrUnexpectedEOF)
	}
	handlers := map[string]scgi.Handler{
		"native": scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { io.WriteString(w, report(r.ContentLength, r.Body)) }),
		"produce": scgi.ProduceFunc(func(_ scgi.Env, size int64, input io.Reader, output io.Writer) {
			io.WriteString(output, "Status: 200 OK\r\n\r\n"+report(size, input))
		}),
		"http": scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Body == http.NoBody || r.Header.Get("Content-Length") != "11" || r.Method != "POST" {
				t.Errorf("%+v", r)
			}
			io.WriteString(w, report(r.ContentLength, r.Body))
			if err := r.ParseForm(); err == nil {
				t.Error("ParseForm read the body")
			}
		})),
	}
	for level, h := range handlers {
		for passed, body := range map[string]string{"0": "", "4": "a=b&", "5": "a=b&c=defgh"} {
			l := listen(t, "unix")
			log := start(t, &scgi.Server{Handler: h, MaxBodyBytes: 10}, l)
			request := encode(body, "CONTENT_LENGTH", passed, "SCGI", "1", "REQUEST_METHOD", "POST", "HTTP_CONTENT_LENGTH", "11",
				"CONTENT_TYPE", "application/x-www-form-urlencoded")
			if r := parseReply(t, ask(t, l.Addr(), request)); r.Status != 200 || r.Body != "11 0 true" {
				t.Errorf("%s, %s passed on: %+v", level, passed, r)
			}
			if log.String() != "" {
				t.Errorf("the log says %s", log)
			}
		}
	}
}

// The body can be read into a buffer of any size, whichever system call that takes.
func TestBodyReadsIntoAnyBuffer(t *testing.T) {
	body := strings.Repeat("body", 50_000)
	onEachKind(t, func(t *testing.T, l net.Listener) {
		sizes := make(chan int, 1)
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			buf := make([]byte, <-sizes)
			for {
				n, err := r.Body.Read(buf)
				w.Write(buf[:n])
				if err != nil {
					return
				}
			}
		})}, l)
		for _, size := range []int{1 << 7, 1 << 12, 1 << 20} {
			sizes <- size
			if r := parseReply(t, ask(t, l.Addr(), post("/", body))); r.Body != body {
				t.Errorf("with a buffer of %d: %d bytes", size, len(r.Body))
			}
		}
	})
}
