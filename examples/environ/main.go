// Environ answers with the variables of the request, one per line, in the order
// they were sent. It shows what a web server passes on, so use it first to check a
// new configuration. Keep it private.
//
//	go run ./examples/environ
//	go run ./examples/environ 4001
//
// The argument is the SCGI port; the default is 4000. At http://127.0.0.1:8080/ it
// shows the variables that the built-in HTTP front end sends.
//
// To serve it behind a web server:
//
// nginx:
//
//	location / {
//	    include    scgi_params;
//	    scgi_param HTTP_PROXY "";
//	    scgi_pass  127.0.0.1:4000;
//	}
//
// lighttpd, which can start the program itself and restart it when it ends;
// /srv/app is the program that "go build -o /srv/app ./examples/environ" builds:
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
