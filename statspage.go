package scgi

// statspage.go owns how the server's numbers are shown: to a person, to a
// script, to Prometheus. Rule: one table of names, from which all three are
// written. The text format of Prometheus is a few lines by hand, so that no
// importer pays for a client library.

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// StatsHandler returns a handler that shows the server's numbers: as a plain
// page, as JSON with the query format=json, and for Prometheus with
// format=prometheus or when it asks by its Accept header. They tell of the
// site's traffic: mount it where the public can't read it.
func (s *Server) StatsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		accept := r.Header.Get("Accept")
		format := r.FormValue("format")
		switch {
		case format == "json" || format == "" && strings.HasPrefix(accept, "application/json"):
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(s.Stats())
		case format == "prometheus" || format == "" && (strings.Contains(accept, "openmetrics") || strings.Contains(accept, "version=0.0.4")):
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

type metric struct {
	name, label, kind string
	value             int64
	help              string
}

const (
	counter = "counter"
	gauge   = "gauge"
)

// metrics is the table: names as Prometheus wants them.
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
