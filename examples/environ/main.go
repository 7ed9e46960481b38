// Environ answers with the variables of the request, one a line, in the order
// they were sent. It shows what a web server passes on, and so is the first
// thing to put behind a new configuration. It is not for the public.
//
//	go run ./examples/environ
//	go run ./examples/environ 4001
//
// The argument is the SCGI port, 4000 if there is none. The same can be seen at
// http://127.0.0.1:8080/, where it tells what the built-in front end sends.
//
// To put it behind a web server:
//
// nginx:
//
//	location / {
//	    include    scgi_params;
//	    scgi_param HTTP_PROXY "";
//	    scgi_pass  127.0.0.1:4000;
//	}
//
// lighttpd, which can start the program itself, and again when it ends; "app"
// is what "go build ./examples/environ" makes:
//
//	server.modules += ( "mod_scgi" )
//	scgi.server = ( "/" => (( "bin-path" => "/srv/app -scgi fd:0", "socket" => "/run/lighttpd/app.sock",
//	                          "max-procs" => 1,
//	                          "check-local" => "disable", "fix-root-scriptname" => "enable" )) )
//
// Apache, with mod_proxy and mod_proxy_scgi:
//
//	ProxyPass "/" "scgi://127.0.0.1:4000/"
package main

import "example.com/scgi/app"

func main() {
	app.Main(nil) // the default handler
}
