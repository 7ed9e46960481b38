package scgi

// stats.go has the server's numbers, which package status shows. Counting costs an
// atomic addition, or happens under a lock that is held anyway. One table of names
// serves people, scripts and Prometheus.

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"example.com/scgi/internal/status"
)

// Stats is a snapshot of a server's numbers. The numbers of events only grow.
type Stats struct {
	Accepted   int64 // connections
	Open       int64 // connections that are open now
	Reading    int64 // of them, connections without their whole header
	MostOpen   int64 // the most that were open at once
	Empty      int64 // connections that ended, or timed out, without a byte
	TurnedAway int64 // connections of peers that the allow lists refuse

	Workers     int64 // worker goroutines
	Busy        int64 // workers that run a handler now
	MostBusy    int64 // the most that ran one at once
	Waiting     int64 // requests that wait for a worker now
	MostWaiting int64 // the most that waited at once

	Served    int64         // requests whose handler has returned or panicked, abandoned or not
	Statuses  [6]int64      // of them, by class: Statuses[2] is 2xx; Statuses[0] is raw or hijacked
	Refused   map[int]int64 // requests that the server answered by itself, by status
	Panics    int64         // handlers that panicked or called runtime.Goexit
	Slow      int64         // handlers reported to OnSlow
	Abandoned int64         // handlers that were given up and still run
	BytesIn   int64         // of bodies, read by handlers
	BytesOut  int64         // of bodies, written by handlers
}

type counters struct {
	accepted, reading, empty, turnedAway atomic.Int64
	panics, slow, abandoned              atomic.Int64
	bytesIn, bytesOut                    atomic.Int64
	statuses                             [6]atomic.Int64
	refused                              [len(refusedStatuses)]atomic.Int64
}

// refusedStatuses are all that the server answers with by itself.
var refusedStatuses = [...]int{400, 408, 413, 431, 503, 504}

func (c *counters) refuse(status int) {
	for i, s := range refusedStatuses {
		if s == status {
			c.refused[i].Add(1)
		}
	}
}

// Stats returns the server's numbers. It is safe for concurrent use. To publish
// them:
//
//	expvar.Publish("scgi", expvar.Func(func() any { return srv.Stats() }))
func (s *Server) Stats() Stats {
	s.init()
	load := s.pool.load()
	st := Stats{
		Accepted: s.count.accepted.Load(), Reading: s.count.reading.Load(), Empty: s.count.empty.Load(), TurnedAway: s.count.turnedAway.Load(),
		Workers: int64(load.workers), Busy: int64(load.busy), MostBusy: int64(load.mostBusy), Waiting: int64(load.waiting), MostWaiting: int64(load.mostWaiting),
		Panics: s.count.panics.Load(), Slow: s.count.slow.Load(), Abandoned: s.count.abandoned.Load(),
		BytesIn: s.count.bytesIn.Load(), BytesOut: s.count.bytesOut.Load(),
		Refused: make(map[int]int64),
	}
	for i := range s.count.statuses {
		st.Statuses[i] = s.count.statuses[i].Load()
		st.Served += st.Statuses[i]
	}
	for i, status := range refusedStatuses {
		if n := s.count.refused[i].Load(); n > 0 {
			st.Refused[status] = n
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Open, st.MostOpen = int64(s.open), int64(s.mostOpen)
	return st
}

// StatsHandler returns a handler that shows the server's numbers and the requests
// under way: to a browser as a page that keeps itself up to date, as text, as
// JSON with the query format=json, and in Prometheus's text format with
// format=prometheus or to a request whose Accept field is that of a Prometheus
// server. JSON has the fields of Stats, and in Processes what else is shown. The
// page draws the last 5 minutes, as far as someone has looked. It shows the URLs
// of requests: mount the handler where the public can't read it.
func (s *Server) StatsHandler() http.Handler {
	s.init()
	s.watched.Store(true)
	return &status.Handler[Stats]{Table: (*Stats).table, Add: (*Stats).add, Take: s.snapshot}
}

// snapshot shows this process.
func (s *Server) snapshot() status.Snapshot[Stats] {
	st := s.Stats()
	return status.Snapshot[Stats]{Total: st, Processes: []status.Process[Stats]{{
		Pid:      os.Getpid(),
		State:    "serving",
		Age:      time.Since(s.born).Seconds(),
		Memory:   status.OwnMemory(),
		Stats:    st,
		Requests: s.underWay(),
	}}}
}

// underWay returns the requests that run longest, the oldest first. A request that began
// before anyone asked for the first time is not among them.
func (s *Server) underWay() (rs []status.Request) {
	var xs []*exchange
	s.mu.Lock()
	for c := s.conns.next; c != &s.conns; c = c.next {
		if x := c.x.Load(); x != nil && x.began.Load() != 0 && x.state.Load() == running {
			xs = append(xs, x)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(xs, func(a, b *exchange) int { return cmp.Compare(a.began.Load(), b.began.Load()) })
	now := time.Now()
	for _, x := range xs[:min(len(xs), status.MaxRequests)] {
		rs = append(rs, status.NewRequest(x.header.Get("REQUEST_METHOD"), x.header.Get("REQUEST_URI"), x.ran(now)))
	}
	return rs
}

// table is the table of names. It has no row for Served, which is the sum of
// Statuses.
func (st *Stats) table() []status.Metric {
	ms := []status.Metric{
		metric("connections_accepted_total", "", &st.Accepted, "connections accepted"),
		metric("connections_open", "", &st.Open, "connections open now"),
		metric("connections_open_max", "", &st.MostOpen, "the most connections that a process had open at once"),
		metric("connections_reading", "", &st.Reading, "connections without their whole header"),
		metric("connections_empty_total", "", &st.Empty, "connections that ended without a byte"),
		metric("connections_turned_away_total", "", &st.TurnedAway, "connections of peers that may not connect"),
		metric("workers", "", &st.Workers, "worker goroutines"),
		metric("workers_busy", "", &st.Busy, "workers that run a handler"),
		metric("workers_busy_max", "", &st.MostBusy, "the most workers of a process that ran one at once"),
		metric("requests_waiting", "", &st.Waiting, "requests that wait for a worker"),
		metric("requests_waiting_max", "", &st.MostWaiting, "the most requests that waited in a process at once"),
		metric("handler_panics_total", "", &st.Panics, "handlers that panicked"),
		metric("handler_slow_total", "", &st.Slow, "handlers that were reported as slow"),
		metric("handlers_abandoned", "", &st.Abandoned, "handlers that were given up and still run"),
		metric("body_in_bytes_total", "", &st.BytesIn, "bytes of body read by handlers"),
		metric("body_out_bytes_total", "", &st.BytesOut, "bytes of body written by handlers"),
	}
	for class := range st.Statuses {
		label := fmt.Sprintf(`class="%dxx"`, class)
		if class == 0 {
			label = `class="raw"`
		}
		ms = append(ms, metric("requests_served_total", label, &st.Statuses[class], "requests whose handler returned"))
	}
	for _, code := range refusedStatuses {
		n := st.Refused[code]
		ms = append(ms, metric("requests_refused_total", fmt.Sprintf(`status="%d"`, code), &n, "requests that the server answered by itself"))
	}
	return ms
}

func metric(name, label string, value *int64, help string) status.Metric {
	return status.Metric{Name: name, Label: label, Value: value, Help: help}
}

// add adds the numbers of another process; of one that has ended, its events.
func (st *Stats) add(more *Stats, ended bool) {
	status.Merge(st.table(), more.table(), ended)
	st.Served += more.Served
	if st.Refused == nil {
		st.Refused = make(map[int]int64)
	}
	for _, code := range refusedStatuses {
		if n := more.Refused[code]; n != 0 {
			st.Refused[code] += n
		}
	}
}
