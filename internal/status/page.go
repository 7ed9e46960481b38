package status

// page.go writes the page for people. It loads nothing from elsewhere, works without
// scripts, and says everything in words as well as in colour, for terminals. Its script
// replaces the parts that change, once a second, by those of a newer page.

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

//go:embed page.css
var style string

//go:embed page.js
var script string

// contentPolicy lets only our own script run, whatever a URI contains.
var contentPolicy = "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
	"; script-src " + hash(script) + "; style-src " + hash(style)

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// A paper is the output that a page is written to. It escapes every string.
type paper struct{ *bufio.Writer }

func (p paper) f(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = html.EscapeString(s)
		}
	}
	fmt.Fprintf(p, format, args...)
}

func (h *Handler[S]) writePage(w io.Writer, snap Snapshot[S]) {
	now := time.Now()
	p := paper{bufio.NewWriter(w)}
	defer p.Flush()
	name := filepath.Base(os.Args[0])
	p.f("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>%s: status</title>\n", name)
	p.f("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
	p.f("<link rel=\"icon\" href=\"data:,\">\n<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n")
	fmt.Fprintf(p, "<style>%s</style>\n</head>\n<body>\n", style)
	p.f("<h1>%s <small>process %d</small></h1>\n<main id=\"now\">\n", name, os.Getpid())
	h.writeSums(p, snap)
	h.writeCharts(p, now)
	h.writeProcesses(p, snap)
	p.f("</main>\n")
	h.writeNumbers(p, snap)
	fmt.Fprintf(p, "<script>%s</script>\n</body>\n</html>\n", script)
}

func (h *Handler[S]) writeSums(p paper, snap Snapshot[S]) {
	rows := h.Table(&snap.Total)
	p.f("<dl>\n")
	for _, sum := range []struct {
		name  string
		value int64
	}{
		{"processes", int64(len(snap.Processes))},
		{"workers busy", value(rows, "workers_busy")},
		{"requests waiting", value(rows, "requests_waiting")},
		{"connections open", value(rows, "connections_open")},
		{"requests served", value(rows, "requests_served_total")},
		{"refused", value(rows, "requests_refused_total")},
		{"panics", value(rows, "handler_panics_total")},
	} {
		p.f("<div><dt>%s</dt> <dd>%d</dd></div>\n", sum.name, sum.value)
	}
	p.f("</dl>\n")
}

func (h *Handler[S]) writeCharts(p paper, now time.Time) {
	samples := h.history.since(now)
	p.f("<section>\n")
	p.chart("requests a second", rates(samples, now), number(rateNow(samples)), number)
	p.series("workers busy", samples, now, func(s sample) int64 { return s.busy }, number)
	p.series("memory", samples, now, func(s sample) int64 { return s.memory }, func(n float64) string { return size(int64(n)) })
	if h.byPid {
		p.series("processes", samples, now, func(s sample) int64 { return s.number }, number)
	}
	p.f("</section>\n")
}

// series draws one value of each sample.
func (p paper) series(name string, samples []sample, now time.Time, value func(sample) int64, words func(float64) string) {
	last := 0.0
	ps := points(samples, now, value)
	if len(ps) > 0 {
		last = ps[len(ps)-1].value
	}
	p.chart(name, ps, words(last), words)
}

// The size of a chart's canvas. One unit of width is a second.
const (
	chartWidth  = int(historyTime / time.Second)
	chartHeight = 60
)

// chart draws points, newest at the right, and states the present and the highest value in
// words.
func (p paper) chart(name string, ps []point, present string, words func(float64) string) {
	top := 0.0
	for _, q := range ps {
		top = max(top, q.value)
	}
	p.f("<figure><figcaption>%s: <b>%s</b>", name, present)
	if top > 0 {
		p.f(" <small>at most %s</small>", words(top))
	}
	p.f("</figcaption>\n<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s in the last 5 minutes\">", chartWidth, chartHeight, name)
	p.f("<path class=\"grid\" d=\"M0 .5H%d\"/>", chartWidth)
	for x := 60; x < chartWidth; x += 60 {
		p.f("<path class=\"grid\" d=\"M%d 0V%d\"/>", x, chartHeight)
	}
	if len(ps) > 0 {
		line := polyline(ps, max(top, 1e-9))
		first, last := xOf(ps[0]), xOf(ps[len(ps)-1])
		p.f("<path class=\"area\" d=\"M%.1f %dL%sL%.1f %dZ\"/>", first, chartHeight, line, last, chartHeight)
		p.f("<polyline points=\"%s\"/>", line)
	}
	p.f("</svg></figure>\n")
}

func xOf(q point) float64 { return float64(chartWidth) - q.ago }

func polyline(ps []point, top float64) string {
	var b strings.Builder
	for i, q := range ps {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%.1f,%.1f", xOf(q), 1+float64(chartHeight-2)*(1-q.value/top))
	}
	return b.String()
}

func (h *Handler[S]) writeProcesses(p paper, snap Snapshot[S]) {
	p.f("<table class=\"processes\">\n<thead><tr>")
	for _, name := range []string{"pid", "state", "age", "requests", "busy", "memory", "works on"} {
		p.f("<th>%s</th>", name)
	}
	p.f("</tr></thead>\n<tbody>\n")
	for i := range snap.Processes {
		l := h.line(&snap.Processes[i])
		p.f("<tr class=\"%s\"><td>%d</td><td>%s</td><td>%s</td><td>%d</td><td>%d</td><td>%s</td><td>", l.state, l.pid, l.state, unbroken(l.age), l.served, l.busy, unbroken(l.memory))
		for j, work := range l.work {
			if j > 0 {
				p.f("<br>")
			}
			p.f("%s", work)
		}
		p.f("</td></tr>\n")
	}
	p.f("</tbody>\n</table>\n")
}

// unbroken keeps a number and its unit on one line.
func unbroken(s string) string { return strings.ReplaceAll(s, " ", "\u00a0") }

func (h *Handler[S]) writeNumbers(p paper, snap Snapshot[S]) {
	p.f("<details><summary>all numbers</summary>\n<table class=\"numbers\"><tbody id=\"numbers\">\n")
	for _, m := range h.Table(&snap.Total) {
		p.f("<tr><td>%s</td><td>%s</td><td>%d</td></tr>\n", m.Help, m.Label, *m.Value)
	}
	p.f("</tbody></table>\n</details>\n<p>The same as <a href=\"?format=json\">JSON</a>, <a href=\"?format=text\">text</a> and <a href=\"?format=prometheus\">for Prometheus</a>.</p>\n")
}
