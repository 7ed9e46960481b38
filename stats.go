package scgi

// stats.go owns the server's numbers and how they are shown. Rule: counting costs
// an atomic addition, or happens under a lock that is held anyway, and one table
// of names serves people, scripts and Prometheus. Prometheus's text format is a
// few lines here, so that no importer pays for a client library.

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
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

// StatsHandler returns a handler that shows the server's numbers: as a plain
// page, as JSON with the query format=json, and in Prometheus's text format with
// format=prometheus or to a request whose Accept field is that of a Prometheus
// server. The numbers describe the site's traffic: mount the handler where the
// public can't read it.
func (s *Server) StatsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch statsFormat(r) {
		case "json":
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(s.Stats())
		case "prometheus":
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
			s.Stats().writePrometheus(w)
		default:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			for _, m := range s.Stats().metrics() {
				fmt.Fprintf(w, "%-28s%10d  %s\n", m.name+m.label, m.value, m.help)
			}
		}
	})
}

func statsFormat(r *http.Request) string {
	if format := r.URL.Query().Get("format"); format != "" {
		return format
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	switch {
	case strings.HasPrefix(accept, "application/json"):
		return "json"
	case isPrometheus(accept):
		return "prometheus"
	}
	return ""
}

// isPrometheus reports whether a Prometheus server sent the Accept field. It
// names the versions of its text formats, or protobuf, which it does not insist
// on. Browsers name no version.
func isPrometheus(accept string) bool {
	for _, s := range []string{"openmetrics-text", "io.prometheus.client", "version=0.0.4", "version=1.0.0"} {
		if strings.Contains(accept, s) {
			return true
		}
	}
	return false
}

type metric struct {
	name, label, kind string
	value             int64
	help              string
}

const (
	counter = "counter"
	gauge   = "gauge"
)

// metrics is the table of names, in Prometheus's style.
func (st Stats) metrics() []metric {
	ms := []metric{
		{"connections_accepted_total", "", counter, st.Accepted, "connections accepted"},
		{"connections_open", "", gauge, st.Open, "connections open now"},
		{"connections_open_max", "", gauge, st.MostOpen, "the most connections open at once"},
		{"connections_reading", "", gauge, st.Reading, "connections without their whole header"},
		{"connections_empty_total", "", counter, st.Empty, "connections that ended without a byte"},
		{"connections_turned_away_total", "", counter, st.TurnedAway, "connections of peers that may not connect"},
		{"workers", "", gauge, st.Workers, "worker goroutines"},
		{"workers_busy", "", gauge, st.Busy, "workers that run a handler"},
		{"workers_busy_max", "", gauge, st.MostBusy, "the most workers that ran one at once"},
		{"requests_waiting", "", gauge, st.Waiting, "requests that wait for a worker"},
		{"requests_waiting_max", "", gauge, st.MostWaiting, "the most requests that waited at once"},
		{"handler_panics_total", "", counter, st.Panics, "handlers that panicked"},
		{"handler_slow_total", "", counter, st.Slow, "handlers that were reported as slow"},
		{"handlers_abandoned", "", gauge, st.Abandoned, "handlers that were given up and still run"},
		{"body_in_bytes_total", "", counter, st.BytesIn, "bytes of body read by handlers"},
		{"body_out_bytes_total", "", counter, st.BytesOut, "bytes of body written by handlers"},
	}
	for class, n := range st.Statuses {
		label := fmt.Sprintf(`{class="%dxx"}`, class)
		if class == 0 {
			label = `{class="raw"}`
		}
		ms = append(ms, metric{"requests_served_total", label, counter, n, "requests whose handler returned"})
	}
	for _, status := range refusedStatuses {
		ms = append(ms, metric{"requests_refused_total", fmt.Sprintf(`{status="%d"}`, status), counter, st.Refused[status], "requests that the server answered by itself"})
	}
	return ms
}

func (st Stats) writePrometheus(w io.Writer) {
	last := ""
	for _, m := range st.metrics() {
		if m.name != last {
			fmt.Fprintf(w, "# HELP scgi_%s %s\n# TYPE scgi_%s %s\n", m.name, m.help, m.name, m.kind)
			last = m.name
		}
		fmt.Fprintf(w, "scgi_%s%s %d\n", m.name, m.label, m.value)
	}
}
