// Command fd0 is a program for lighttpd's bin-path. It serves the socket that it was
// started with, and answers with its process id.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"example.com/scgi"
)

func main() {
	if len(os.Args) != 3 || os.Args[1] != "-scgi" {
		log.Fatal("usage: fd0 -scgi ADDR")
	}
	log.Fatal(scgi.ListenAndServe(os.Args[2], scgi.HandlerFunc(answer)))
}

func answer(w http.ResponseWriter, r *scgi.Request) {
	fmt.Fprint(w, os.Getpid())
}
