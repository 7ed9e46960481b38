//go:build linux

// Load sends requests to a server and prints the results as JSON. It is a separate
// program so that it can be pinned to a processor.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"example.com/scgi/bench/load"
)

func main() {
	var c load.Config
	flag.StringVar(&c.Addr, "addr", "127.0.0.1:4000", "the server: host:port or unix:/path")
	flag.StringVar(&c.Protocol, "protocol", "scgi", "scgi, fcgi or http")
	flag.BoolVar(&c.Keep, "keep", false, "keep connections (fcgi, http)")
	flag.IntVar(&c.Flight, "flight", 64, "requests in flight")
	flag.Float64Var(&c.Rate, "rate", 0, "requests per second, instead of -flight")
	flag.DurationVar(&c.Duration, "duration", time.Second, "how long to start new requests")
	flag.IntVar(&c.HeaderBytes, "header", 0, "minimum size of the header in bytes")
	flag.IntVar(&c.BodyBytes, "body", 0, "size of the body in bytes")
	upload := flag.Int64("upload", 0, "instead, send one request with a body of this many bytes")
	download := flag.Int64("download", 0, "instead, request one reply of at least this many bytes")
	flag.Parse()
	log.SetFlags(0)

	var result any
	var err error
	switch {
	case *upload > 0:
		result, err = load.Upload(c.Addr, *upload)
	case *download > 0:
		result, err = load.Download(c.Addr, *download)
	default:
		result, err = load.Run(c)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		log.Fatal(fmt.Errorf("load: %w", err))
	}
}
