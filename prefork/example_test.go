package prefork_test

// example_test.go owns the programs of the package's comment.

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"example.com/scgi"
	"example.com/scgi/prefork"
)

// A main with up to eight processes of one worker each: whatever a request does
// to its process, it costs no other request.
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

// What only one process should do is done by the parent; what each needs, by each.
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

// The parent opens the socket as root; the children are nobody, and see nothing
// but one folder. They are replaced when they have served enough, or grown. The
// group adm may see what they do.
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
