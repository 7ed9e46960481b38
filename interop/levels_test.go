package interop_test

// levels_test.go tests the levels below net/http behind each web server: what a native
// handler and a ProduceFunc get and send, and what a client gets that speaks HTTP to the
// SCGI port.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

func TestNativeHandler(t *testing.T) {
	h := scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		body, err := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		for _, name := range []string{"REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "CONTENT_LENGTH", "CONTENT_TYPE", "SCGI", "SERVER_PROTOCOL", "HTTP_X_CASE"} {
			fmt.Fprintf(w, "%s=%s\n", name, r.Env.Get(name))
		}
		fmt.Fprintf(w, "%d, %q, %v\n", r.ContentLength, body, err)
	})
	const want = "REQUEST_METHOD=POST\nREQUEST_URI=/a%20b?c=d\nQUERY_STRING=c=d\nCONTENT_LENGTH=5\nCONTENT_TYPE=text/plain\n" +
		"SCGI=1\nSERVER_PROTOCOL=HTTP/1.1\nHTTP_X_CASE=native\n5, \"hello\", <nil>\n"
	site{handler: h}.each(t, func(t *testing.T, fr front) {
		c := call{method: "POST", target: "/a%20b?c=d", body: "hello", fields: []string{"Content-Type: text/plain", "X-Case: native"}}
		a := c.do(t, fr.addr).ok(t, http.StatusCreated)
		if a.body != want {
			t.Errorf("got\n%s\nwant\n%s", a.body, want)
		}
	})
}

// A Location without a status reaches the client: as CGI's redirect from a native handler,
// and with 200 from a net/http handler. No web server follows it internally.
func TestLocationWithoutStatus(t *testing.T) {
	for _, location := range []string{"/elsewhere?a=b", "https://example.com/"} {
		answer := func(w http.ResponseWriter) { w.Header().Set("Location", location) }
		for status, h := range map[int]scgi.Handler{
			http.StatusFound: scgi.HandlerFunc(func(w http.ResponseWriter, _ *scgi.Request) { answer(w) }),
			http.StatusOK:    scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) })),
		} {
			site{handler: h}.each(t, func(t *testing.T, fr front) {
				a := get("/").do(t, fr.addr).ok(t, status)
				if got := a.header.Get("Location"); got != location {
					t.Errorf("Location %q, want %q", got, location)
				}
			})
		}
	}
}

func TestProduce(t *testing.T) {
	program := scgi.ProduceFunc(func(env scgi.Env, bodySize int64, input io.Reader, output io.Writer) {
		body, _ := io.ReadAll(input)
		fmt.Fprintf(output, "Status: 201 Created\nX-Program: yes\nContent-Type: text/x-cgi\n\n%s %d %s", env.Get("REQUEST_METHOD"), bodySize, body)
	})
	site{handler: program}.each(t, func(t *testing.T, fr front) {
		a := call{method: "PUT", target: "/", body: "hello"}.do(t, fr.addr).ok(t, http.StatusCreated)
		if a.header.Get("X-Program") != "yes" || a.header.Get("Content-Type") != "text/x-cgi" || a.body != "PUT 5 hello" {
			t.Errorf("got %v, %q", a.header, a.body)
		}
	})
}

func TestDefaultHandler(t *testing.T) {
	site{}.each(t, func(t *testing.T, fr front) {
		a := get("/x?y").do(t, fr.addr).ok(t, http.StatusOK)
		if !strings.Contains(a.body, `REQUEST_URI: "/x?y"`) {
			t.Errorf("no REQUEST_URI in %s", a.body)
		}
	})
}

// nginx reads a reply's header into scgi_buffer_size bytes, 4 kB by default. From 16k on,
// scgi_buffers must be as large, or nginx does not start.
func TestLargeResponseHeader(t *testing.T) {
	h := scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 6000))
	})
	check := func(want int) func(t *testing.T, fr front) {
		return func(t *testing.T, fr front) {
			a := get("/").do(t, fr.addr).ok(t, want)
			if want == http.StatusOK && len(a.header.Get("X-Large")) != 6000 {
				t.Errorf("got %d bytes of header", len(a.header.Get("X-Large")))
			}
		}
	}
	site{handler: h, only: webserver.Nginx}.each(t, check(http.StatusBadGateway))
	site{handler: h, extra: map[webserver.Kind]string{webserver.Nginx: "scgi_buffer_size 16k; scgi_buffers 8 16k;"}}.each(t, check(http.StatusOK))
}

// A client that speaks HTTP to the SCGI port gets a page that explains the mistake.
func TestHTTPOnTheSCGIPort(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			addr := serve(t, &scgi.Server{}, network)
			conn, err := net.Dial(addr.Network(), addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(conn, get("/").head())
			a := readAnswer(bufio.NewReader(conn), "GET").ok(t, http.StatusBadRequest)
			if !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") || a.body == "" {
				t.Errorf("got %v, %q", a.header, a.body)
			}
		})
	}
}
