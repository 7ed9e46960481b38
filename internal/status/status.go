// Package status shows what the processes of a server are doing: as a page for people, as
// text, as JSON and in Prometheus's text format. It knows neither the server nor how its
// processes are started.
package status

// status.go has the data: processes, their counters and the requests they are running. One
// table of names serves people, scripts and Prometheus. A process may be hostile, so the
// strings it reports are cut and escaped.

import (
	"strings"
	"time"
)

// A Metric is a row of the table of names.
type Metric struct {
	Name  string // in Prometheus's style, without the prefix; a counter ends in _total
	Label string // such as status="400"; may be empty
	Value *int64
	Help  string
}

// IsCounter reports whether the metric counts events, and so only grows.
func (m *Metric) IsCounter() bool { return strings.HasSuffix(m.Name, "_total") }

// isMax reports whether the metric is the maximum of another metric.
func (m *Metric) isMax() bool { return strings.HasSuffix(m.Name, "_max") }

// Merge adds the values of one table to those of another table with the same names. Of a
// process that has ended, it adds only event counts and maxima.
func Merge(sum, more []Metric, ended bool) {
	for i := range more {
		m, to := &more[i], sum[i].Value
		switch {
		case m.isMax():
			*to = max(*to, *m.Value)
		case m.IsCounter() || !ended:
			*to += *m.Value
		}
	}
}

// A Process is what is known about one process.
type Process[S any] struct {
	Pid      int
	State    string
	Age      float64 // seconds
	Memory   int64   // resident, in bytes
	Stats    S
	Requests []Request // running requests, longest first; some are left out if there are many
}

// A Request is a request that a handler is running.
type Request struct {
	Method, URI string  // as the client sent them, truncated
	Running     float64 // seconds
}

// Bounds on what a process reports about its requests.
const (
	maxMethod   = 16
	maxURI      = 120
	MaxRequests = 16
)

// NewRequest returns a Request with its strings truncated.
func NewRequest(method, uri string, running time.Duration) Request {
	return Request{cut(method, maxMethod), cut(uri, maxURI), running.Seconds()}
}

func cut(s string, n int) string {
	const mark = "…"
	if len(s) <= n {
		return s
	}
	return s[:n-len(mark)] + mark
}

// A Snapshot shows all processes at one moment. Total includes the events of processes that
// have ended.
type Snapshot[S any] struct {
	Total     S
	Processes []Process[S]
}
