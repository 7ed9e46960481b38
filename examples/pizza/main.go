// Pizza takes orders, and shows what happens when a handler fails. Every order
// names a pizza and a drink:
//
//	go run ./examples/pizza
//	http://127.0.0.1:8080/?pizza=hawaii&drink=beer
//
// If one is missing, the client gets a 400 that names it. With -careless the handler
// assumes that both are there:
//
//	go run ./examples/pizza -careless
//	http://127.0.0.1:8080/?pizza=hawaii
//
// It panics, and only that request fails: the client gets a 500, the log gets the
// panic with its stack, another worker replaces the one that died, and the same
// process serves the next order.
//
// With -bail the handler ends its whole process instead. To protect other requests,
// give each request its own process:
//
//	go run ./examples/pizza -bail -processes 8 -workers 1
//	http://127.0.0.1:8080/?pizza=hawaii
//
// The client gets no answer (behind a web server, a 502), the log says that the
// process died, and another process serves the next order.
//
// To serve it under /pizza of a web server:
//
// nginx:
//
//	location /pizza {
//	    include    scgi_params;
//	    scgi_param HTTP_PROXY "";
//	    scgi_pass  127.0.0.1:4000;
//	}
//
// lighttpd:
//
//	server.modules += ( "mod_scgi" )
//	scgi.server = ( "/pizza" => (( "host" => "127.0.0.1", "port" => 4000,
//	                               "check-local" => "disable" )) )
//
// Apache, with mod_proxy and mod_proxy_scgi:
//
//	ProxyPass "/pizza" "scgi://127.0.0.1:4000/pizza"
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"

	"example.com/scgi"
	"example.com/scgi/app"
)

var (
	careless = flag.Bool("careless", false, "panic on an incomplete order")
	bail     = flag.Bool("bail", false, "end the process on an incomplete order")
)

func main() {
	app.Main(scgi.HandlerFunc(order))
}

func order(w http.ResponseWriter, r *scgi.Request) {
	// ParseQuery returns the valid parts of a malformed query.
	query, _ := url.ParseQuery(r.Env.Get("QUERY_STRING"))
	if !*careless {
		for _, name := range []string{"pizza", "drink"} {
			if query.Get(name) == "" {
				if *bail {
					log.Fatalf("process %d bails out: no %s", os.Getpid(), name)
				}
				http.Error(w, "missing argument: "+name, http.StatusBadRequest)
				return
			}
		}
	}
	// With -careless, a missing item is an index out of range.
	pizza, drink := query["pizza"][0], query["drink"][0]
	log.Printf("process %d serves %.100q with %.100q", os.Getpid(), pizza, drink)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "One pizza %.100q and one %.100q, coming up.\n", pizza, drink)
}
