package interop_test

// app_test.go has the app that every web server is compared with: everyday net/http
// handlers, and one that answers with the request it sees. The app knows nothing of SCGI.

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing/fstest"
	"time"
)

// dumpType is the Content-Type of dump's answers.
const dumpType = "text/x-dump"

var modified = time.Date(2008, 6, 23, 0, 0, 0, 0, time.UTC)

const longest = 32 << 20

// noise is a sequence of bytes in which a misplaced byte shows.
var noise = sync.OnceValue(func() string {
	b := make([]byte, longest)
	state := uint32(1)
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	return string(b)
})

// pattern returns a body of n bytes.
func pattern(n int) string { return noise()[:n] }

func hash(s string) string { return fmt.Sprintf("%d bytes, %x", len(s), sha256.Sum256([]byte(s))) }

// app is the http.Handler under test.
func app() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", echo)
	mux.Handle("/files/", http.StripPrefix("/files", http.FileServerFS(fstest.MapFS{
		"a.txt":        {Data: []byte(strings.Repeat("0123456789", 100)), ModTime: modified},
		"d/index.html": {Data: []byte("<h1>index</h1>"), ModTime: modified},
	})))
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscan(r.PathValue("code"), &code)
		w.Header().Set("X-App", "status")
		w.WriteHeader(code)
	})
	mux.HandleFunc("/redirect/relative", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "next?a=b", http.StatusFound)
	})
	mux.HandleFunc("/redirect/path", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusSeeOther)
	})
	mux.HandleFunc("/redirect/absolute", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://example.com/x", http.StatusPermanentRedirect)
	})
	mux.HandleFunc("/cookies", func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"one", "two", "three"} {
			http.SetCookie(w, &http.Cookie{Name: name, Value: "1, 2", Path: "/", HttpOnly: true})
		}
		fmt.Fprintln(w, r.Cookies())
	})
	mux.HandleFunc("/basic", func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if !ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="app"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "%s, %s\n", user, password)
	})
	mux.HandleFunc("/multipart", multipart)
	mux.HandleFunc("/sniffed", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<!DOCTYPE html><title>a page</title>")
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 3000))
		w.Header()["X-Twice"] = []string{"one", "two"}
		w.Header().Set("Content-Language", "de, en")
	})
	mux.Handle("/timeout", http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Wait until TimeoutHandler has replied, or it might find this handler in time.
		for _, err := w.Write(nil); err != http.ErrHandlerTimeout; _, err = w.Write(nil) {
			runtime.Gosched()
		}
	}), 20*time.Millisecond, "too slow"))
	return dumpOr(mux)
}

// dumpOr serves /dump itself: a ServeMux would clean its path.
func dumpOr(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-From", "app")
		if strings.Contains(r.RequestURI, "/dump") {
			dump(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// dump answers with a description of the request that the handler gets.
func dump(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", dumpType)
	lines := []string{
		fmt.Sprintf("Method: %q", r.Method),
		fmt.Sprintf("RequestURI: %q", r.RequestURI),
		fmt.Sprintf("Path: %q", r.URL.Path),
		fmt.Sprintf("EscapedPath: %q", r.URL.EscapedPath()),
		fmt.Sprintf("RawQuery: %q", r.URL.RawQuery),
		fmt.Sprintf("Host: %q", r.Host),
		fmt.Sprintf("Proto: %q", r.Proto),
		fmt.Sprintf("ContentLength: %d", r.ContentLength),
		fmt.Sprintf("Body: %s, %v", hash(string(body)), err),
		fmt.Sprintf("TLS: %v", r.TLS != nil),
		fmt.Sprintf("Loopback: %v", strings.HasPrefix(r.RemoteAddr, "127.0.0.1:")),
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		lines = append(lines, fmt.Sprintf("Header[%s]: %q", name, r.Header[name]))
	}
	io.WriteString(w, strings.Join(lines, "\n"))
}

func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(body)
}

func multipart(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseMultipartForm(1 << 20); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f, h, err := r.FormFile("upload")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	fmt.Fprintf(w, "%s %s %s %v\n", r.FormValue("note"), h.Filename, hash(string(content)), err)
}
