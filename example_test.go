package scgi_test

// example_test.go has the examples for the documentation, one for each goal that a user may
// have. Their output is checked where it is predictable.

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"example.com/scgi"
	"example.com/scgi/gateway"
)

// A net/http app behind a web server.
func Example() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s.\n", r.PathValue("name"))
	})
	log.Fatal(scgi.ListenAndServe("127.0.0.1:4000", scgi.HTTPHandler(mux)))
}

// The request's variables as they arrived, with net/http's ResponseWriter.
func ExampleHandlerFunc() {
	handler := scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		if r.Env.Get("REQUEST_METHOD") != "GET" {
			http.Error(w, "GET only", http.StatusMethodNotAllowed)
			return
		}
		fmt.Fprintf(w, "%s asked for %s\n", r.Env.Get("REMOTE_ADDR"), r.Env.Get("REQUEST_URI"))
	})
	log.Fatal(scgi.ListenAndServe("127.0.0.1:4000", handler))
}

// A test of a handler, without a server or a connection.
func ExampleNewEnv() {
	handler := scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s said %q", r.Env.Get("REMOTE_USER"), body)
	})

	reply := httptest.NewRecorder()
	handler.ServeSCGI(reply, &scgi.Request{
		Env:           scgi.NewEnv("REQUEST_METHOD", "POST", "REMOTE_USER", "alice"),
		ContentLength: 5,
		Body:          io.NopCloser(strings.NewReader("hello")),
	})
	fmt.Println(reply.Code, reply.Body)
	// Output: 200 alice said "hello"
}

// A net/http handler under a prefix that also reads a variable which HTTP does not have.
func ExampleHTTPHandler() {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		over, _ := scgi.FromContext(r.Context())
		fmt.Fprintf(w, "%s for %s", r.URL.Path, over.Env.Get("REMOTE_USER"))
	})
	handler := scgi.HTTPHandler(http.StripPrefix("/app", page))

	reply := httptest.NewRecorder()
	handler.ServeSCGI(reply, &scgi.Request{
		Env: scgi.NewEnv("REQUEST_METHOD", "GET", "REQUEST_URI", "/app/news?page=2",
			"SERVER_PROTOCOL", "HTTP/1.1", "HTTP_HOST", "example.org", "REMOTE_USER", "alice"),
	})
	fmt.Println(reply.Code, reply.Body)
	// Output: 200 /news for alice
}

// A CGI program turned into a function.
func ExampleProduceFunc() {
	greet := func(env scgi.Env, bodySize int64, input io.Reader, output io.Writer) {
		fmt.Fprint(output, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n")
		fmt.Fprintf(output, "%s with %d bytes: ", env.Get("REQUEST_METHOD"), bodySize)
		io.Copy(output, input)
	}
	l, err := scgi.Listen("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go scgi.Serve(l, scgi.ProduceFunc(greet))
	defer l.Close()

	client := &http.Client{Transport: &gateway.Transport{Addr: l.Addr().String()}}
	resp, err := client.Post("http://example.org/", "text/plain", strings.NewReader("hello"))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body), err)
	// Output: 200 OK POST with 5 bytes: hello <nil>
}

// A server that shuts down in order on a signal.
func ExampleServer_Shutdown() {
	srv := &scgi.Server{Handler: scgi.HTTPHandler(http.DefaultServeMux)}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	ended := make(chan error, 1)
	go func() { ended <- srv.ListenAndServe("127.0.0.1:4000") }()
	select {
	case err := <-ended: // the address can't be listened on
		log.Fatal(err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(patience); err != nil {
		srv.Close() // what is still running is cut
	}
}

// A unix socket to which only the group www-data may connect.
func ExampleListen_unixSocket() {
	l, err := scgi.Listen("unix:/run/app/app.sock?group=www-data&mode=0660")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(scgi.Serve(l, scgi.HTTPHandler(http.DefaultServeMux)))
}

// A server with several limits set and one removed.
func ExampleServer() {
	srv := &scgi.Server{
		Handler:      scgi.HTTPHandler(http.DefaultServeMux),
		MaxWorkers:   16,
		MaxBodyBytes: -1, // no limit
	}
	err := srv.ListenAndServe("unix:/run/app/app.sock")
	if !errors.Is(err, scgi.ErrServerClosed) {
		log.Fatal(err)
	}
}

// The server's counters, for a status page.
func ExampleServer_Stats() {
	srv := &scgi.Server{}
	stats := srv.Stats()
	fmt.Println(stats.Accepted, stats.Busy, stats.Waiting)
	// Output: 0 0 0
}

// Bounds on requests that wait, hang or panic. None is on by default.
func ExampleServer_overload() {
	srv := &scgi.Server{
		Handler:        scgi.HTTPHandler(http.DefaultServeMux),
		MaxQueue:       1000,             // above it, 503
		QueueTimeout:   5 * time.Second,  // after it, 503
		RequestTimeout: 30 * time.Second, // after it, 504
		MaxPanics:      100,              // in a minute; then Serve returns ErrPanics
	}
	log.Fatal(srv.ListenAndServe("unix:/run/app/app.sock"))
}

// The server's counters at an address that the public can't reach: as a page, as JSON, for
// Prometheus and for expvar.
func ExampleServer_StatsHandler() {
	srv := &scgi.Server{Handler: scgi.HTTPHandler(http.DefaultServeMux)}
	expvar.Publish("scgi", expvar.Func(func() any { return srv.Stats() }))

	private := http.NewServeMux()
	private.Handle("GET /stats", srv.StatsHandler())
	private.Handle("GET /debug/vars", expvar.Handler())
	go func() { log.Print(http.ListenAndServe("127.0.0.1:9100", private)) }()

	log.Fatal(srv.ListenAndServe("unix:/run/app/app.sock"))
}

// A log of where a slow handler is while it runs.
func ExampleServer_onSlow() {
	srv := &scgi.Server{
		Handler:  scgi.HTTPHandler(http.DefaultServeMux),
		SlowTime: 2 * time.Second,
		OnSlow: func(r scgi.SlowRequest) {
			slog.Warn("slow", "uri", r.Request.Env.Get("REQUEST_URI"),
				"queued", r.Queued, "running", r.Running, "stack", string(r.Stack))
		},
	}
	log.Fatal(srv.ListenAndServe("unix:/run/app/app.sock"))
}

// One line of JSON for each request.
func ExampleServer_accessLog() {
	srv := &scgi.Server{
		Handler:   scgi.HTTPHandler(http.DefaultServeMux),
		AccessLog: slog.New(slog.NewJSONHandler(os.Stdout, nil)),
	}
	log.Fatal(srv.ListenAndServe("unix:/run/app/app.sock"))
}
