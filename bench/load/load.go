//go:build linux

// Package load asks a server on this machine as fast as it answers, or at a
// fixed rate, and measures how long each answer takes.
//
// It is one thread around epoll, so that one processor is enough to keep a
// server on another busy. Requests are made once; of a reply no more is looked
// at than it takes to find its end and see that it is a 200.
package load

// load.go owns what a run is and what it gives. Rule: every run ends, and a
// request that was not answered is counted.

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// grace is how long requests may take that are under way when a run ends.
const grace = 10 * time.Second

// Config is a run.
type Config struct {
	// Addr is the server's, "unix:/path" or "127.0.0.1:port".
	Addr string

	// Protocol is "scgi", "fcgi" or "http".
	Protocol string

	// Keep keeps connections for the next request. Without it each request
	// has one of its own. SCGI knows no kept connections.
	Keep bool

	// Flight is the number of requests that are under way at any time: a closed
	// loop, in which a slow server is asked less. It is ignored if Rate is set.
	Flight int

	// Rate is the number of requests a second, whether or not earlier ones are
	// answered: an open loop. A request's time runs from when it was due, not
	// from when it could be sent, so that what waits behind a stall is counted.
	Rate float64

	// Duration is the time in which requests are begun.
	Duration time.Duration

	// HeaderBytes and BodyBytes are the least size of a request's header and
	// the size of its body. Zero is a browser's usual header and no body.
	HeaderBytes int
	BodyBytes   int
}

// Result is what a run gave.
type Result struct {
	Requests  int64   // answered with a 200
	Failed    int64   // not answered, or with something else
	PerSecond float64 // of the requests answered, to the end of the last
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

// percents are the steps of Result.Latency: finer toward the end.
var percents = []float64{1, 10, 25, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.25, 99.5, 99.7, 99.8, 99.9, 99.95, 99.99, 100}

func quantiles(h *hdrhistogram.Histogram) []Quantile {
	qs := make([]Quantile, len(percents))
	for i, p := range percents {
		qs[i] = Quantile{p, float64(h.ValueAtPercentile(p)) / 1e3}
	}
	return qs
}

// Ask sends one request as c says and waits for the reply. It fails unless that
// is a 200.
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

// Run does what c says. It takes at most Duration and 10 seconds.
func Run(c Config) (Result, error) {
	if c.Flight <= 0 && c.Rate <= 0 {
		return Result{}, errors.New("load: neither requests in flight nor a rate")
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
