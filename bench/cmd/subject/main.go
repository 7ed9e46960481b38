// Subject is the server that is measured: this library at one of its levels. It
// answers every request with the time, or with a table or a file.
package main

import (
	"context"
	"flag"
	"fmt"
	"html/template"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"runtime/pprof"
	"strconv"
	"time"

	"example.com/scgi"
	"example.com/scgi/prefork"
)

const textPlain = "text/plain; charset=utf-8"

// now returns a short text that differs between requests, as a real page does.
func now() string { return time.Now().Format(time.RFC3339) + "\n" }

func native(w http.ResponseWriter, r *scgi.Request) {
	drain(r.Body, r.ContentLength)
	io.WriteString(w, now())
}

func produce(_ scgi.Env, size int64, in io.Reader, out io.Writer) {
	drain(in, size)
	io.WriteString(out, "Status: 200 OK\r\nContent-Type: "+textPlain+"\r\n\r\n"+now())
}

func netHTTP(w http.ResponseWriter, r *http.Request) {
	drain(r.Body, r.ContentLength)
	w.Header().Set("Content-Type", textPlain)
	io.WriteString(w, now())
}

func drain(body io.Reader, size int64) {
	if size > 0 {
		io.Copy(io.Discard, body)
	}
}

// handler returns the handler of the level. It sends a table if rows is positive,
// and the file if there is one.
func handler(level, file string, rows int) scgi.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", netHTTP)
	switch {
	case rows > 0:
		return scgi.HandlerFunc(func(w http.ResponseWriter, _ *scgi.Request) { sendTable(w, rows) })
	case file != "" && level == "http":
		return scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }))
	case file != "":
		return scgi.HandlerFunc(func(w http.ResponseWriter, _ *scgi.Request) { sendFile(w, file) })
	case level == "native":
		return scgi.HandlerFunc(native)
	case level == "produce":
		return scgi.ProduceFunc(produce)
	case level == "http":
		return scgi.HTTPHandler(mux)
	}
	log.Fatalf("unknown level %q", level)
	return nil
}

func sendFile(w http.ResponseWriter, name string) {
	f, err := os.Open(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	io.Copy(w, f)
}

// table does typical work of an app: it formats and escapes values.
var table = template.Must(template.New("").Parse(`<!DOCTYPE html>
<title>Orders</title>
<table>
{{range .}}<tr><td>{{.Number}}<td><a href="/customer?name={{.Customer}}">{{.Customer}}</a><td>{{.Price}}<td>{{.Day.Format "2 January 2006"}}
{{end}}</table>
`))

type order struct {
	Number   int
	Customer string
	Price    float64
	Day      time.Time
}

func sendTable(w http.ResponseWriter, rows int) {
	orders := make([]order, rows)
	for i := range orders {
		orders[i] = order{i, "Smith & Sons <" + strconv.Itoa(i) + ">", float64(i) * 1.25, time.Unix(int64(i)*86400, 0)}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := table.Execute(w, orders); err != nil {
		log.Print(err)
	}
}

func main() {
	var p prefork.Program
	p.Server = new(scgi.Server)
	level := flag.String("level", "native", "native, produce or http")
	flag.StringVar(&p.Addr, "scgi", scgi.DefaultAddr, "listen on host:port or unix:/path")
	file := flag.String("file", "", "answer with this file instead of the time")
	rows := flag.Int("rows", 0, "answer with an HTML table of this many rows instead of the time")
	flag.IntVar(&p.MaxProcesses, "processes", 0, "number of child processes; 0 to serve in this process")
	flag.IntVar(&p.Server.MaxWorkers, "workers", scgi.DefaultMaxWorkers, "number of workers in each process")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file on SIGTERM or SIGINT; only without -processes")
	flag.Parse()

	slog.SetLogLoggerLevel(slog.LevelError) // children are killed on purpose
	p.Server.Handler = handler(*level, *file, *rows)
	p.MinProcesses = p.MaxProcesses
	if p.MaxProcesses == 0 {
		p.Server.MaxConns = -1 // the benchmark opens 10,000 connections at once
	}
	p.OnReady = func(addr, _ string) { fmt.Println(addr) }
	if *profile != "" {
		defer startProfile(*profile)()
	}
	if err := p.Run(context.Background()); err != nil {
		log.Print(err)
	}
}

func startProfile(name string) (stop func()) {
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		log.Fatal(err)
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}
}
