//go:build linux

package main

// report.go writes the results as Markdown. Tables show ratios where they can, with
// absolute numbers beside them.

import (
	"fmt"
	"strings"
)

func (r results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on: %s.\n", r.machine)
	fmt.Fprintf(&b, "Medians of %d rounds of %v; %d requests in flight where nothing else is said.\n", r.scale.rounds, r.scale.duration, flight)
	r.unix.write(&b, "Directly, over a unix socket")
	r.tcp.write(&b, "Directly, over TCP on loopback")
	if r.front == nil {
		b.WriteString("\nBehind nginx: not measured, because nginx is not installed.\n")
	} else {
		r.front.write(&b, "Behind nginx on the same processor; the processor time is of both")
	}
	r.program(&b)
	r.writeFlights(&b)
	r.writeLatency(&b)
	r.writeSilence(&b)
	r.writeTransfers(&b)
	r.writeStarts(&b)
	return b.String()
}

func (t table) write(b *strings.Builder, title string) {
	fmt.Fprintf(b, "\n### %s\n\n", title)
	b.WriteString("| server | processor time a request | µs | requests/s | | p50 | p99 | peak memory |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range t {
		fmt.Fprintf(b, "| %s | **%.2f** | %.1f | %.0f | %.2f | %s | %s | %s |\n", r.name, r.ratio(t[0], cpuEach), r.median(cpuEach),
			r.median(perSecond), r.ratio(t[0], perSecond), micros(r.median(halfTime)), micros(r.median(slowest)), size(r.median(peak)))
	}
}

// program writes the table that compares a resident program with starting one for
// each request.
func (r results) program(b *strings.Builder) {
	b.WriteString("\n### Against starting a program for each request\n\n")
	b.WriteString("| way in | level | requests/s, times as many | processor time, times less |\n|---|---|--:|--:|\n")
	for _, way := range []struct {
		name string
		t    table
	}{{"unix socket", r.unix}, {"TCP", r.tcp}, {"nginx", r.front}} {
		for _, level := range []contestant{native, produce, asHTTP} {
			if row, cgi := way.t.find(level), way.t.find(commonCGI); len(row.samples) > 0 {
				fmt.Fprintf(b, "| %s | %s | **%.0f** | %.0f |\n", way.name, level.name, row.ratio(cgi, perSecond), cgi.ratio(row, cpuEach))
			}
		}
	}
}

func (t table) find(c contestant) row {
	for _, r := range t {
		if r.name == c.name {
			return r
		}
	}
	return row{}
}

func (r results) writeFlights(b *strings.Builder) {
	fmt.Fprintf(b, "\n### Requests in flight: throughput relative to %d, and p99\n\n| server |", flight)
	for _, x := range r.flights.xs {
		fmt.Fprintf(b, " %d |", x)
	}
	b.WriteString(" peak memory |\n|---|" + strings.Repeat("--:|", len(r.flights.xs)+1) + "\n")
	base := r.flights.at(flight)
	for i, c := range curved {
		fmt.Fprintf(b, "| %s |", c.name)
		for _, t := range r.flights.tables {
			fmt.Fprintf(b, " %.2f, %s |", t[i].ratio(base[i], perSecond), micros(t[i].median(slowest)))
		}
		last := r.flights.tables[len(r.flights.tables)-1]
		fmt.Fprintf(b, " %s |\n", size(last[i].median(peak)))
	}
}

func (r results) writeLatency(b *strings.Builder) {
	fmt.Fprintf(b, "\n### Latency at %.0f requests/s, from when each was due\n\n", r.rate)
	b.WriteString("| server | p50 | p90 | p99 | p99.9 | worst |\n|---|--:|--:|--:|--:|--:|\n")
	for _, c := range curved {
		fmt.Fprintf(b, "| %s |", c.name)
		for _, p := range r.latency[c.name] {
			switch p.x {
			case 50, 90, 99, 99.9, 100:
				fmt.Fprintf(b, " %s |", micros(p.y))
			}
		}
		b.WriteString("\n")
	}
}

func (r results) writeSilence(b *strings.Builder) {
	b.WriteString("\n### Beside connections that say nothing\n\n")
	b.WriteString("| server | silent connections | resident memory each | requests/s with them, relative to without |\n|---|--:|--:|--:|\n")
	for _, s := range r.silent {
		fmt.Fprintf(b, "| %s | %d | %s | %.2f |\n", s.name, s.connections, size(s.each), s.with/max(s.without, 1))
	}
}

func (r results) writeTransfers(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s in one body, relative to a bare io.Copy\n\n", size(float64(r.scale.transfer)))
	b.WriteString("| server | socket | direction | time | processor time | bytes/s | peak memory |\n|---|---|---|--:|--:|--:|--:|\n")
	var bare passage
	for i, p := range r.transfer {
		direction := "download of a file"
		if p.up {
			direction = "upload"
		}
		if i == 0 || p.up != bare.up || p.network != bare.network {
			bare = p
		}
		fmt.Fprintf(b, "| %s | %s | %s | **%.2f** | %.2f | %s | %s |\n", p.name, p.network, direction, quotient(p.seconds, bare.seconds), quotient(p.cpu, bare.cpu),
			size(float64(r.scale.transfer)/median(append([]float64(nil), p.seconds...))), size(float64(p.peak)))
	}
}

// quotient returns the median over the rounds of a divided by b.
func quotient(a, b []float64) float64 {
	values := make([]float64, len(a))
	for i := range a {
		values[i] = a[i] / max(b[i], 1e-3)
	}
	return median(values)
}

func (r results) writeStarts(b *strings.Builder) {
	b.WriteString("\n### From the start of the process to the first reply\n\n| server | ms |\n|---|--:|\n")
	for _, s := range r.starts {
		fmt.Fprintf(b, "| %s | %.1f |\n", s.name, s.millis)
	}
}

func micros(v float64) string {
	switch {
	case v >= 10e3:
		return fmt.Sprintf("%.0f ms", v/1e3)
	case v >= 1e3:
		return fmt.Sprintf("%.1f ms", v/1e3)
	}
	return fmt.Sprintf("%.0f µs", v)
}

func size(v float64) string {
	switch {
	case v >= 1<<30:
		return fmt.Sprintf("%.1f GiB", v/(1<<30))
	case v >= 1<<20:
		return fmt.Sprintf("%.0f MiB", v/(1<<20))
	case v >= 1<<10:
		return fmt.Sprintf("%.1f KiB", v/(1<<10))
	}
	return fmt.Sprintf("%.0f B", v)
}
