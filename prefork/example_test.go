package prefork_test

// example_test.go has the programs for the package documentation.

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"example.com/scgi"
	"example.com/scgi/prefork"
)

// A program with up to eight processes of one worker each: a request that crashes its
// process disturbs no other request.
func Example() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "served by process", os.Getpid())
	})
	http.HandleFunc("/exit", func(w http.ResponseWriter, r *http.Request) {
		os.Exit(1)
	})
	p := prefork.Program{
		Server:       &scgi.Server{Handler: scgi.HTTPHandler(http.DefaultServeMux), MaxWorkers: 1},
		Addr:         "unix:/run/app/app.sock?group=www-data",
		MaxProcesses: 8,
	}
	if err := p.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// The parent does what must happen once; each child does what every process needs.
func ExampleIsChild() {
	if !prefork.IsChild() {
		fmt.Println("migrating the database")
	}
	fmt.Println("connecting to the database")
	p := prefork.Program{Server: &scgi.Server{}, MaxProcesses: 4, MinProcesses: 4}
	if err := p.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// The parent opens the socket as root. The children run as nobody and see only one folder. A
// child is replaced once it has served enough requests or has grown too large. The group adm
// may read the status page.
func ExampleProgram() {
	p := prefork.Program{
		Server:       &scgi.Server{MaxWorkers: 16},
		Addr:         "unix:/run/app.sock?group=www-data",
		MaxProcesses: 4,
		User:         "nobody",
		Chroot:       "/srv/app",
		MaxRequests:  100_000,
		MaxMemory:    256 << 20,
		StatusAddr:   "unix:/run/app-status.sock?group=adm",
	}
	if err := p.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
