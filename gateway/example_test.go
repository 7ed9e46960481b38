package gateway_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"example.com/scgi"
	"example.com/scgi/gateway"
)

// Asking an SCGI server as a web server does, here over a unix socket.
func ExampleTransport() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	addr := "unix:" + filepath.Join(dir, "s")
	l, err := scgi.Listen(addr)
	if err != nil {
		log.Fatal(err)
	}
	go scgi.Serve(l, nil) // answers with the variables
	defer l.Close()

	client := &http.Client{Transport: &gateway.Transport{Addr: addr}}
	resp, err := client.Get("http://example.org/path?query")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, strings.Contains(string(page), `REQUEST_URI: "/path?query"`), err)
	// Output: 200 OK true <nil>
}

// An HTTP front end for development, and for a host without a web server.
func ExampleNew() {
	l, err := scgi.Listen("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go scgi.Serve(l, scgi.HTTPHandler(http.NotFoundHandler()))
	defer l.Close()

	front := httptest.NewServer(gateway.New(l.Addr().String()))
	defer front.Close()
	resp, err := http.Get(front.URL + "/nothing")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 404 Not Found
}
