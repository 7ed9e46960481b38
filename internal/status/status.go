// Package status shows what the processes of a server do: as a page for people,
// as text, as JSON and in Prometheus's text format. It knows neither the server
// nor how its processes come to be.
package status

// status.go is the model: processes, their numbers and the requests they work on. One
// table of names serves people, scripts and Prometheus. A process may be hostile, so
// the strings it reports are cut and escaped.

import (
	"strings"
	"time"
)

// A Metric is a row of the table of names.
type Metric struct {
	Name  string // in Prometheus's style, without the prefix; a counter ends in _total
	Label string // such as status="400"; empty: none
	Value *int64
	Help  string
}

// IsCounter reports whether the metric counts events, so that it only grows.
func (m *Metric) IsCounter() bool { return strings.HasSuffix(m.Name, "_total") }

// isMax reports whether the metric is the highest value of another one.
func (m *Metric) isMax() bool { return strings.HasSuffix(m.Name, "_max") }

// Merge adds the values of one table to those of another one of the same names.
// Of a process that has ended, only its events and its highest values count.
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

// A Process is what is known of one process.
type Process[S any] struct {
	Pid      int
	State    string
	Age      float64 // seconds
	Memory   int64   // resident, in bytes
	Stats    S
	Requests []Request // those under way, the longest running first; not all if there are many
}

// A Request is one that a handler works on.
type Request struct {
	Method, URI string  // as the client sent them, cut
	Running     float64 // seconds
}

// Bounds of what a process reports of its requests, in bytes and requests.
const (
	maxMethod   = 16
	maxURI      = 120
	MaxRequests = 16
)

// NewRequest cuts what is too long to be shown.
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

// A Snapshot is all processes at one moment. Total also has the events of those
// that have ended.
type Snapshot[S any] struct {
	Total     S
	Processes []Process[S]
}
