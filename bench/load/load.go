//go:build linux

// Package load sends requests to a server on this machine, as fast as it answers
// or at a fixed rate, and measures how long each answer takes.
//
// It runs one thread around epoll, so that one processor can keep a server on
// another processor busy. It builds the request once, and reads only enough of a
// reply to find its end and check for a 200.
package load

// load.go defines a run and its result. Every run ends, and counts the requests
// that got no answer.

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// grace bounds the wait for requests in flight at the end of a run.
const grace = 10 * time.Second

// Config describes a run.
type Config struct {
	// Addr is the server's address, "unix:/path" or "127.0.0.1:port".
	Addr string

	// Protocol is "scgi", "fcgi" or "http".
	Protocol string

	// Keep keeps connections open for further requests. If it is false, each
	// request has its own connection. SCGI has no kept connections.
	Keep bool

	// Flight is the number of requests in flight at any time: a closed loop, in
	// which a slow server gets fewer requests. It is ignored if Rate is set.
	Flight int

	// Rate is the number of requests per second, whether or not earlier ones are
	// answered: an open loop. A request's latency counts from when it was due, not
	// from when it was sent, so that it includes the wait behind a stall.
	Rate float64

	// Duration is how long the run starts new requests.
	Duration time.Duration

	// HeaderBytes is the minimum size of a request's header, and BodyBytes the
	// size of its body. Zero is a browser's usual header and no body.
	HeaderBytes int
	BodyBytes   int
}

// Result is the result of a run.
type Result struct {
	Requests  int64   // requests answered with a 200
	Failed    int64   // requests without an answer, or with another status
	PerSecond float64 // Requests per second, up to the last answer
	Latency   []Quantile
}

// Quantile is a latency that Percent of the requests did not exceed.
type Quantile struct {
	Percent, Micros float64
}

// At returns the latency at percent in µs, or 0 if it was not recorded.
func (r Result) At(percent float64) float64 {
	for _, q := range r.Latency {
		if q.Percent == percent {
			return q.Micros
		}
	}
	return 0
}

// percents lists the percentiles in Result.Latency.
var percents = []float64{1, 10, 25, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.25, 99.5, 99.7, 99.8, 99.9, 99.95, 99.99, 100}

func quantiles(h *hdrhistogram.Histogram) []Quantile {
	qs := make([]Quantile, len(percents))
	for i, p := range percents {
		qs[i] = Quantile{p, float64(h.ValueAtPercentile(p)) / 1e3}
	}
	return qs
}

// Ask sends one request and waits for the reply. It returns an error unless the
// reply is a 200.
func Ask(c Config) error {
	request, judge, err := protocol(c)
	if err != nil {
		return err
	}
	_, err = transfer(c.Addr, func(conn net.Conn) error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		return receiveAll(conn, judge)
	})
	return err
}

func receiveAll(r io.Reader, judge judge) error {
	var got []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		switch v := judge(got, err == io.EOF); {
		case v == good:
			return nil
		case v == bad:
			return fmt.Errorf("load: answered with %.200q", got)
		case err != nil:
			return err
		}
	}
}

// Run performs the run that c describes. It takes at most 10 seconds longer than
// c.Duration.
func Run(c Config) (Result, error) {
	if c.Flight <= 0 && c.Rate <= 0 {
		return Result{}, errors.New("load: neither Flight nor Rate is set")
	}
	r, err := newRunner(c)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	if err := r.run(); err != nil {
		return Result{}, err
	}
	return r.result(), nil
}
