package scgi_test

// example_test.go has the examples of the documentation, each for a goal that a user of
// the package has. Where the output is known, it is checked.

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

// An app for net/http behind a web server.
func Example() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s.\n", r.PathValue("name"))
	})
	log.Fatal(scgi.ListenAndServe("127.0.0.1:4000", scgi.HTTPHandler(mux)))
}

// The request's variables as they came, and net/http's writer.
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

// A handler's test needs no server and no connection.
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

// A net/http handler under a prefix, and a variable that HTTP does not have.
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

// A CGI program's few lines, moved into a function.
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

// A server that ends in order when it is told to.
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

// A unix socket that the group www-data may connect to, and nobody else.
func ExampleListen_unixSocket() {
	l, err := scgi.Listen("unix:/run/app/app.sock?group=www-data&mode=0660")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(scgi.Serve(l, scgi.HTTPHandler(http.DefaultServeMux)))
}

// Several limits, and one that is taken off.
func ExampleServer() {
	srv := &scgi.Server{
		Handler:      scgi.HTTPHandler(http.DefaultServeMux),
		MaxWorkers:   16,
		MaxBodyBytes: -1, // none
	}
	err := srv.ListenAndServe("unix:/run/app/app.sock")
	if !errors.Is(err, scgi.ErrServerClosed) {
		log.Fatal(err)
	}
}

// What the server is doing, for a status page.
func ExampleServer_Stats() {
	srv := &scgi.Server{}
	stats := srv.Stats()
	fmt.Println(stats.Accepted, stats.Busy, stats.Waiting)
	// Output: 0 0 0
}

// Bounds on what waits, hangs and panics. None of them is on by default.
func ExampleServer_overload() {
	srv := &scgi.Server{
		Handler:        scgi.HTTPHandler(http.DefaultServeMux),
		MaxQueue:       1000,             // more is answered with 503
		QueueTimeout:   5 * time.Second,  // and so is who waited for this long
		RequestTimeout: 30 * time.Second, // then 504
		MaxPanics:      100,              // within a minute; then Serve returns ErrPanics
	}
	log.Fatal(srv.ListenAndServe("unix:/run/app/app.sock"))
}

// The server's numbers, where the public can't read them: as a page, as JSON,
// for Prometheus and for expvar.
func ExampleServer_StatsHandler() {
	srv := &scgi.Server{Handler: scgi.HTTPHandler(http.DefaultServeMux)}
	expvar.Publish("scgi", expvar.Func(func() any { return srv.Stats() }))

	private := http.NewServeMux()
	private.Handle("GET /stats", srv.StatsHandler())
	private.Handle("GET /debug/vars", expvar.Handler())
	go func() { log.Print(http.ListenAndServe("127.0.0.1:9100", private)) }()

	log.Fatal(srv.ListenAndServe("unix:/run/app/app.sock"))
}

// Where a slow handler is, while it still runs.
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

// A line of JSON for each request.
func ExampleServer_accessLog() {
	srv := &scgi.Server{
		Handler:   scgi.HTTPHandler(http.DefaultServeMux),
		AccessLog: slog.New(slog.NewJSONHandler(os.Stdout, nil)),
	}
	log.Fatal(srv.ListenAndServe("unix:/run/app/app.sock"))
}
