// Time answers every request with the time of day. It is the smallest complete
// program: one handler, and package app around it.
//
//	go run ./examples/time
//
// serves SCGI on 127.0.0.1:4000, and the same page at http://127.0.0.1:8080/
// for a browser. To serve it behind a web server:
//
// nginx:
//
//	location / {
//	    include    scgi_params;
//	    scgi_param HTTP_PROXY "";
//	    scgi_pass  127.0.0.1:4000;
//	}
//
// lighttpd:
//
//	server.modules += ( "mod_scgi" )
//	scgi.server = ( "/" => (( "host" => "127.0.0.1", "port" => 4000,
//	                          "check-local" => "disable", "fix-root-scriptname" => "enable" )) )
//
// Apache, with mod_proxy and mod_proxy_scgi:
//
//	ProxyPass "/" "scgi://127.0.0.1:4000/"
package main

import (
	"fmt"
	"net/http"
	"time"

	"example.com/scgi"
	"example.com/scgi/app"
)

func main() {
	app.Main(scgi.HandlerFunc(tellTime))
}

func tellTime(w http.ResponseWriter, r *scgi.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintln(w, time.Now().Format(time.RFC1123))
}
