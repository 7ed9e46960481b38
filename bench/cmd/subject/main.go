// Subject is the server that is measured: this library at one of its levels,
// answering every request with the time.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"example.com/scgi"
	"example.com/scgi/bench/internal/address"
)

const textPlain = "text/plain; charset=utf-8"

// now is short plain text, as a real page is made anew for each request.
func now() string { return time.Now().Format(time.RFC3339) + "\n" }

func native(w http.ResponseWriter, r *scgi.Request) {
	drain(r.Body, r.ContentLength)
	io.WriteString(w, now())
}

func produce(_ scgi.Env, size int64, in io.Reader, out io.Writer) {
	drain(in, size)
	io.WriteString(out, "Status: 200 OK\r\nContent-Type: "+textPlain+"\r\n\r\n"+now())
}

func netHTTP(w http.ResponseWriter, r *http.Request) {
	drain(r.Body, r.ContentLength)
	w.Header().Set("Content-Type", textPlain)
	io.WriteString(w, now())
}

func drain(body io.Reader, size int64) {
	if size > 0 {
		io.Copy(io.Discard, body)
	}
}

// handler is of the level, or sends the file if there is one.
func handler(level, file string) scgi.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", netHTTP)
	switch {
	case file != "" && level == "http":
		return scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }))
	case file != "":
		return scgi.HandlerFunc(func(w http.ResponseWriter, _ *scgi.Request) { sendFile(w, file) })
	case level == "native":
		return scgi.HandlerFunc(native)
	case level == "produce":
		return scgi.ProduceFunc(produce)
	case level == "http":
		return scgi.HTTPHandler(mux)
	}
	log.Fatalf("no level %q", level)
	return nil
}

func sendFile(w http.ResponseWriter, name string) {
	f, err := os.Open(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	io.Copy(w, f)
}

func main() {
	level := flag.String("level", "native", "native, produce or http")
	addr := flag.String("scgi", scgi.DefaultAddr, "listen on host:port or unix:/path")
	file := flag.String("file", "", "answer with this file instead of the time")
	profile := flag.String("cpuprofile", "", "write a profile to this file when SIGTERM or SIGINT comes")
	flag.Parse()

	l, err := scgi.Listen(*addr)
	if err != nil {
		log.Fatal(err)
	}
	if *profile != "" {
		defer startProfile(*profile)()
	}
	s := &scgi.Server{Handler: handler(*level, *file), MaxConns: -1} // 10,000 are open at once
	if err := serve(s, l); err != nil {
		log.Print(err)
	}
}

func startProfile(name string) (stop func()) {
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		log.Fatal(err)
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}
}

// serve serves until a signal comes.
func serve(s *scgi.Server, l net.Listener) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	address.Announce(l)
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	_ = s.Close()
	if err := <-served; !errors.Is(err, scgi.ErrServerClosed) {
		return err
	}
	return nil
}
