package gateway_test

import (
	"context"
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

// A client that asks an SCGI server as a web server does, here over a unix socket.
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
	go scgi.Serve(l, nil) // replies with the request's variables
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

// A front end that authenticates users and mounts an app under a prefix. The app reads
// REMOTE_USER as it does behind any web server.
func ExampleTransport_Handler() {
	l, err := scgi.Listen("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go scgi.Serve(l, scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		fmt.Fprintf(w, "%s reads %s of %s\n", r.Env.Get("REMOTE_USER"), r.Env.Get("PATH_INFO"), r.Env.Get("SCRIPT_NAME"))
	}))
	defer l.Close()

	type userKey struct{}
	app := (&gateway.Transport{
		Addr: l.Addr().String(),
		Env: func(r *http.Request) map[string]string {
			user, _ := r.Context().Value(userKey{}).(string)
			return map[string]string{
				"REMOTE_USER": user,
				"AUTH_TYPE":   "Basic",
				"SCRIPT_NAME": "/app",
				"REQUEST_URI": r.RequestURI, // StripPrefix has shortened the URL
			}
		},
	}).Handler()

	mux := http.NewServeMux()
	mux.HandleFunc("/app/", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "alice" || password != "secret" { // a real front end checks a database
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "401 Unauthorized", http.StatusUnauthorized)
			return
		}
		ctx := context.WithValue(r.Context(), userKey{}, user)
		http.StripPrefix("/app", app).ServeHTTP(w, r.WithContext(ctx))
	})
	front := httptest.NewServer(mux)
	defer front.Close()

	req, err := http.NewRequest("GET", front.URL+"/app/news", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.SetBasicAuth("alice", "secret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(os.Stdout, resp.Body)
	// Output: alice reads /news of /app
}

// An HTTP front end for development, or for a host without a web server.
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
