// Cgi serves a CGI program, here a shell script, through net/http/cgi: one
// process for each request, under the server's bound on workers. It is for a
// script that is to stay as it is; a program that can be changed is better
// ported to a scgi.ProduceFunc.
//
//	go run ./examples/cgi
//	go run ./examples/cgi -script /srv/cgi-bin/other
//
// serves examples/cgi/hello.sh, or the other script, for every path, over SCGI
// on 127.0.0.1:4000 and at http://127.0.0.1:8080/.
//
// The script gets the variables of the http.Request, not those that the web
// server sent, so no peer can set its PATH. Its name for the world, SCRIPT_NAME,
// is -root; PATH_INFO is what follows.
//
// To put it under /cgi of a web server, with -root /cgi:
//
// nginx:
//
//	location /cgi {
//	    include    scgi_params;
//	    scgi_param HTTP_PROXY "";
//	    scgi_pass  127.0.0.1:4000;
//	}
//
// lighttpd:
//
//	server.modules += ( "mod_scgi" )
//	scgi.server = ( "/cgi" => (( "host" => "127.0.0.1", "port" => 4000,
//	                             "check-local" => "disable" )) )
//
// Apache, with mod_proxy and mod_proxy_scgi:
//
//	ProxyPass "/cgi" "scgi://127.0.0.1:4000/cgi"
package main

import (
	"flag"
	"net/http/cgi"

	"example.com/scgi"
	"example.com/scgi/app"
)

func main() {
	var script cgi.Handler
	flag.StringVar(&script.Path, "script", "examples/cgi/hello.sh", "the CGI `program`; it runs in its own directory")
	flag.StringVar(&script.Root, "root", "/", "the `path` it is mounted at")
	app.Main(scgi.HTTPHandler(&script))
}
