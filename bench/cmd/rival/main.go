// Rival runs the servers that the library is compared with: other ways to answer
// the same requests with the same page.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/fcgi"
	"time"

	"example.com/scgi/bench/internal/address"
)

const head = "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"

func now() string { return time.Now().Format(time.RFC3339) + "\n" }

func page(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > 0 {
		io.Copy(io.Discard, r.Body)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, now())
}

func main() {
	kind := flag.String("kind", "bare", "bare, naive, http, fcgi, cgi, sink or file")
	addr := flag.String("listen", "127.0.0.1:4000", "listen on host:port or unix:/path")
	program := flag.String("program", "", "for kind cgi: the program to start")
	file := flag.String("file", "", "for kind file: the file to send")
	size := flag.Int64("size", 0, "for kind sink: size of an upload in bytes, with its header")
	flag.Parse()

	l, err := address.Listen(*addr)
	if err != nil {
		log.Fatal(err)
	}
	address.Announce(l)
	mux := http.NewServeMux()
	mux.HandleFunc("/", page)
	switch *kind {
	case "bare":
		err = serveBare(l)
	case "naive":
		err = serveNaive(l)
	case "http":
		err = http.Serve(l, mux)
	case "fcgi":
		err = fcgi.Serve(l, mux)
	case "cgi":
		err = http.Serve(l, &cgi.Handler{Path: *program})
	case "sink":
		err = serveEach(l, func(c net.Conn) { sink(c, *size) })
	case "file":
		err = serveEach(l, func(c net.Conn) { sendFile(c, *file) })
	default:
		log.Fatalf("unknown kind %q", *kind)
	}
	log.Fatal(err)
}
