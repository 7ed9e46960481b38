// Pizza takes orders, and shows what becomes of a handler that fails. Every
// order names a pizza and a drink:
//
//	go run ./examples/pizza
//	http://127.0.0.1:8080/?pizza=hawaii&drink=beer
//
// A missing one is the client's mistake, and the client is told: 400, and which
// one. With -careless the handler takes for granted that both are there:
//
//	go run ./examples/pizza -careless
//	http://127.0.0.1:8080/?pizza=hawaii
//
// It panics then, but takes nothing with it: that client gets a 500, the log
// gets the panic with its stack, another worker takes the place of the one that
// died, and the next order is served, by the same process.
//
// With -bail it ends its process instead, and everything in it. So that this costs
// nobody else, let each request have a process:
//
//	go run ./examples/pizza -bail -processes 8 -workers 1
//	http://127.0.0.1:8080/?pizza=hawaii
//
// That client gets no answer (behind a web server, a 502), the log gets the end of
// the process, and the next order is served by another one.
//
// To put it under /pizza of a web server:
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
	careless = flag.Bool("careless", false, "panic at an order that is not complete")
	bail     = flag.Bool("bail", false, "end the process at an order that is not complete")
)

func main() {
	app.Main(scgi.HandlerFunc(order))
}

func order(w http.ResponseWriter, r *scgi.Request) {
	// Of a malformed query, what could be read is there.
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
	// Careless, this is an index out of range.
	pizza, drink := query["pizza"][0], query["drink"][0]
	log.Printf("process %d serves %.100q with %.100q", os.Getpid(), pizza, drink)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "One pizza %.100q and one %.100q, coming up.\n", pizza, drink)
}
