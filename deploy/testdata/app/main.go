// Command app is the program of the recipes. It answers with what it is and
// what it sees, and tells systemd how it is.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/scgi"
	"example.com/scgi/restart"
)

func main() {
	addr := flag.String("scgi", scgi.DefaultAddr, "serve SCGI on `address`")
	hold := flag.Bool("hold", false, "let requests for /hold wait for ever, and say that they do")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *hold); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string, hold bool) error {
	var h restart.Handover
	l, err := h.Listen(addr)
	if err != nil {
		return err
	}
	srv := &scgi.Server{Handler: handler(hold)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	if err := h.Ready(); err != nil {
		return err
	}
	fmt.Println(l.Addr())
	watched := make(chan error, 1)
	go func() { watched <- restart.Watchdog(ctx, nil) }()
	select {
	case <-ctx.Done():
	case err := <-served:
		return err
	}
	if err := <-watched; err != nil && !errors.Is(err, ctx.Err()) {
		return err
	}
	if err := restart.Notify(restart.Stopping); err != nil {
		return err
	}
	last, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return srv.Shutdown(last)
}

func handler(hold bool) scgi.Handler {
	return scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		if hold && r.Env.Get("REQUEST_URI") == "/hold" {
			fmt.Println("held", r.Env.Get("REQUEST_METHOD"))
			<-r.Context().Done()
		}
		answer(w)
	})
}

func answer(w http.ResponseWriter) {
	var names []string
	entries, _ := os.ReadDir("/")
	for _, e := range entries {
		names = append(names, e.Name())
	}
	groups, _ := os.Getgroups()
	text, err := json.Marshal(map[string]any{
		"pid": os.Getpid(), "uid": os.Getuid(), "gid": os.Getgid(), "groups": groups,
		"root": names, "env": os.Environ(),
	})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	_, _ = w.Write(text)
}
