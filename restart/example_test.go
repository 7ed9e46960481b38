package restart_test

// example_test.go owns the whole program of the package's comment.

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/scgi"
	"example.com/scgi/restart"
)

// SIGHUP replaces the program by a new process, of a new version if there is
// one; SIGTERM ends it. Neither loses a request.
func ExampleHandover() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM)

	var h restart.Handover
	l, err := h.Listen("unix:/run/app/app.sock?group=www-data")
	if err != nil {
		log.Fatal(err)
	}
	srv := &scgi.Server{Handler: scgi.HTTPHandler(http.DefaultServeMux)}
	go func() {
		if err := srv.Serve(l); err != scgi.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	if err := h.Ready(); err != nil {
		log.Print(err)
	}

	for s := range signals {
		if s == syscall.SIGTERM {
			break
		}
		err := h.Upgrade(context.Background())
		if err == nil {
			break
		}
		log.Print(err) // this process goes on
	}

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}
