package status

// handler.go answers requests for the status: GET and HEAD only, uncached, with the same
// snapshot in every format.

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
)

// A Handler shows the processes that Take returns, in the format that the query format= or
// the Accept field asks for. S holds a process's counters.
type Handler[S any] struct {
	Table func(*S) []Metric // names the values of an S, with pointers to them
	Add   func(sum, more *S, ended bool)
	Take  func() Snapshot[S] // safe for concurrent use

	byPid   bool // label the metrics with the process id
	history history
}

// Of returns a Handler for the processes that take returns. It has h's table, and labels
// metrics by process.
func (h *Handler[S]) Of(take func() Snapshot[S]) *Handler[S] {
	return &Handler[S]{Table: h.Table, Add: h.Add, Take: take, byPid: true}
}

// Record adds a snapshot to the history on the page. Each request adds one too. Record
// drops a snapshot that comes less than a second after the last one.
func (h *Handler[S]) Record(snap Snapshot[S]) {
	rows := h.Table(&snap.Total)
	s := sample{
		at: time.Now(), number: int64(len(snap.Processes)),
		served: value(rows, "requests_served_total"), busy: value(rows, "workers_busy"),
	}
	for _, p := range snap.Processes {
		s.memory += p.Memory
	}
	h.history.add(s)
}

// value returns the sum of the rows with this name.
func value(rows []Metric, name string) (n int64) {
	for _, m := range rows {
		if m.Name == name {
			n += *m.Value
		}
	}
	return n
}

func (h *Handler[S]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	snap := h.Take()
	h.Record(snap)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch format(r) {
	case "json":
		w.Header().Set("Content-Type", "application/json")
		h.writeJSON(w, snap)
	case "prometheus":
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		h.writePrometheus(w, snap)
	case "html":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", contentPolicy)
		h.writePage(w, snap)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		h.writeText(w, snap)
	}
}

func format(r *http.Request) string {
	if format := r.URL.Query().Get("format"); format != "" {
		return format
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	switch {
	case strings.HasPrefix(accept, "application/json"):
		return "json"
	case isPrometheus(accept):
		return "prometheus"
	case strings.Contains(accept, "text/html"):
		return "html"
	}
	return "text"
}

// isPrometheus reports whether the Accept field comes from a Prometheus server. Prometheus
// names the versions of its text formats, or protobuf, which it does not insist on. No
// browser names a version.
func isPrometheus(accept string) bool {
	for _, s := range []string{"openmetrics-text", "io.prometheus.client", "version=0.0.4", "version=1.0.0"} {
		if strings.Contains(accept, s) {
			return true
		}
	}
	return false
}

// writeJSON writes the fields of the total, and the processes beside them.
func (h *Handler[S]) writeJSON(w io.Writer, snap Snapshot[S]) {
	total, err := json.Marshal(snap.Total)
	if err != nil {
		return
	}
	processes, err := json.Marshal(snap.Processes)
	if err != nil {
		return
	}
	fmt.Fprintf(w, "%s,\"Processes\":%s}\n", strings.TrimSuffix(string(total), "}"), processes)
}

// writePrometheus writes each metric for each process, so that Prometheus can sum them and
// sees that a new process's counters start at zero.
func (h *Handler[S]) writePrometheus(w io.Writer, snap Snapshot[S]) {
	tables := make([][]Metric, len(snap.Processes))
	for i := range snap.Processes {
		tables[i] = h.Table(&snap.Processes[i].Stats)
	}
	for row, names := 0, h.Table(&snap.Total); row < len(names); {
		m := names[row]
		kind := "gauge"
		if m.IsCounter() {
			kind = "counter"
		}
		writeHead(w, m.Name, kind, m.Help)
		rows := 1
		for row+rows < len(names) && names[row+rows].Name == m.Name {
			rows++
		}
		for i, table := range tables {
			for _, m := range table[row : row+rows] {
				fmt.Fprintf(w, "scgi_%s%s %d\n", m.Name, h.labels(&snap.Processes[i], m.Label), *m.Value)
			}
		}
		row += rows
	}
	writeHead(w, "process_resident_bytes", "gauge", "memory of the process")
	for i := range snap.Processes {
		p := &snap.Processes[i]
		fmt.Fprintf(w, "scgi_process_resident_bytes%s %d\n", h.labels(p, ""), p.Memory)
	}
	writeHead(w, "process_age_seconds", "gauge", "time since the start of the process")
	for i := range snap.Processes {
		p := &snap.Processes[i]
		fmt.Fprintf(w, "scgi_process_age_seconds%s %.3f\n", h.labels(p, ""), p.Age)
	}
	writeHead(w, "processes", "gauge", "processes that serve, start or end")
	fmt.Fprintf(w, "scgi_processes %d\n", len(snap.Processes))
}

func writeHead(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP scgi_%s %s\n# TYPE scgi_%s %s\n", name, help, name, kind)
}

func (h *Handler[S]) labels(p *Process[S], label string) string {
	switch {
	case h.byPid && label != "":
		return fmt.Sprintf(`{pid="%d",%s}`, p.Pid, label)
	case h.byPid:
		return fmt.Sprintf(`{pid="%d"}`, p.Pid)
	case label != "":
		return "{" + label + "}"
	}
	return ""
}

// writeText writes the status for a terminal without a browser.
func (h *Handler[S]) writeText(w io.Writer, snap Snapshot[S]) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PID\tSTATE\tAGE\tREQUESTS\tBUSY\tMEMORY\tWORKS ON")
	for i := range snap.Processes {
		l := h.line(&snap.Processes[i])
		fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%d\t%s\t%s\n", l.pid, l.state, l.age, l.served, l.busy, l.memory, strings.Join(l.work, ", "))
	}
	fmt.Fprintln(t)
	_ = t.Flush()
	for _, m := range h.Table(&snap.Total) {
		name := m.Name
		if m.Label != "" {
			name += "{" + m.Label + "}"
		}
		fmt.Fprintf(w, "%-40s%12d  %s\n", name, *m.Value, m.Help)
	}
}
