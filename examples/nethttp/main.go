// Nethttp is an app written for net/http, served over SCGI unchanged: a ServeMux
// with a page, an upload and a stream of events. Its handlers use only FromContext
// from package scgi, for a variable that HTTP does not have.
//
//	go run ./examples/nethttp
//
// serves SCGI on 127.0.0.1:4000, and the same app at http://127.0.0.1:8080/.
//
// To serve it behind a web server:
//
// nginx; client_max_body_size defaults to 1m, and REMOTE_USER is not sent by
// default:
//
//	location / {
//	    include              scgi_params;
//	    scgi_param           HTTP_PROXY  "";
//	    scgi_param           REMOTE_USER $remote_user;
//	    client_max_body_size 10m;
//	    scgi_pass            127.0.0.1:4000;
//	}
//
// lighttpd, which passes events on at once only with stream-response-body:
//
//	server.modules += ( "mod_scgi" )
//	server.stream-response-body = 1
//	scgi.server = ( "/" => (( "host" => "127.0.0.1", "port" => 4000,
//	                          "check-local" => "disable", "fix-root-scriptname" => "enable" )) )
//
// Apache, with mod_proxy and mod_proxy_scgi; without CGIPassAuth it does not pass
// on the Authorization field:
//
//	ProxyPass "/" "scgi://127.0.0.1:4000/"
//	<Location "/">
//	    CGIPassAuth On
//	</Location>
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"net/http"
	"time"

	"example.com/scgi"
	"example.com/scgi/app"
)

const maxUpload = 10 << 20

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page)
	mux.HandleFunc("POST /upload", upload)
	mux.HandleFunc("GET /events", events)
	app.Main(scgi.HTTPHandler(mux))
}

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<title>net/http over SCGI</title>
<p>Hello, {{.User}}, from {{.Addr}}.</p>
<form method="post" action="upload" enctype="multipart/form-data">
<input type="file" name="file"> <input type="submit" value="Upload">
</form>
<p id="event">The time arrives as events.</p>
<script>
new EventSource("events").onmessage = e => document.getElementById("event").textContent = e.data
</script>
`))

func page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := pageTemplate.Execute(w, map[string]string{"User": user(r), "Addr": r.RemoteAddr})
	if err != nil {
		log.Printf("page: %v", err)
	}
}

// user returns the user that the web server has authenticated.
func user(r *http.Request) string {
	if over, ok := scgi.FromContext(r.Context()); ok {
		if name := over.Env.Get("REMOTE_USER"); name != "" {
			return name
		}
	}
	return "stranger"
}

// upload answers with the checksum of a file. ParseMultipartForm writes a large
// form to disk, so upload bounds the size of the body.
func upload(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	file, header, err := r.FormFile("file")
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		http.Error(w, fmt.Sprintf("more than %d bytes", tooLong.Limit), http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "no file in the form", http.StatusBadRequest)
		return
	}
	defer r.MultipartForm.RemoveAll()
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		http.Error(w, "the file can't be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%.200q %d bytes, SHA-256 %x\n", header.Filename, header.Size, sum.Sum(nil))
}

// events sends the time once a second until the client disconnects.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would buffer the events
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for now := time.Now(); ; {
		fmt.Fprintf(w, "data: %s\n\n", now.Format(time.TimeOnly))
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case now = <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
