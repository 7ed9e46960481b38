//go:build linux

// Bench compares this library with other ways to answer the same requests, and
// writes the results as Markdown and SVG. Run it in the benchmark module's folder:
//
//	go run ./cmd/bench
//	go run ./cmd/bench -hosts
//	go run ./cmd/bench -children
//
// The second command compares scgi host with fcgiwrap, which has to be installed;
// the third compares child processes with one process.
//
// Bench needs Linux, two processors and taskset. One part needs nginx.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// scale says how much is measured.
type scale struct {
	rounds   int           // rounds of the comparison
	few      int           // rounds of the longer measurements
	duration time.Duration // duration of one run
	flights  []int
	headers  []int
	bodies   []int
	silent   int
	transfer int64
	starts   int
}

var full = scale{
	rounds:   5,
	few:      3,
	duration: 700 * time.Millisecond,
	flights:  []int{1, 8, 64, 256, 1000, 10000},
	headers:  []int{0, 2 << 10, 8 << 10, 32 << 10},
	bodies:   []int{0, 8 << 10, 64 << 10, 512 << 10},
	silent:   10000,
	transfer: 1 << 30,
	starts:   20,
}

// quick checks that everything works. Its figures mean nothing.
var quick = scale{
	rounds:   1,
	few:      1,
	duration: 30 * time.Millisecond,
	flights:  []int{1, 64},
	headers:  []int{0, 8 << 10},
	bodies:   []int{0, 64 << 10},
	silent:   200,
	transfer: 4 << 20,
	starts:   1,
}

// within returns s without the measurements that need more descriptors than the
// limit.
func (s scale) within(descriptors int) scale {
	most := descriptors - 200
	s.silent = min(s.silent, most-flight)
	s.flights = slices.DeleteFunc(slices.Clone(s.flights), func(n int) bool { return n > most })
	return s
}

func main() {
	cgi := flag.Bool("hosts", false, "only compare scgi host with fcgiwrap")
	family := flag.Bool("children", false, "only compare child processes with one process")
	small := flag.Bool("quick", false, "only check that every contestant works: takes a few seconds, writes no files")
	out := flag.String("out", "out", "folder for results.md")
	plots := flag.String("plots", "plots", "folder for the drawings")
	flag.Parse()
	log.SetFlags(log.Ltime)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	run := func() error { return bench(ctx, *small, *out, *plots) }
	switch {
	case *cgi:
		run = func() error { return benchHosts(ctx, *small) }
	case *family:
		run = func() error { return benchChildren(ctx, *small, os.Stdout) }
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// benchHosts compares scgi host with fcgiwrap and prints the tables.
func benchHosts(ctx context.Context, small bool) error {
	s := full
	if small {
		s = quick
	}
	l, err := newLab(ctx, s)
	if err != nil {
		return err
	}
	defer l.close()
	t, hangs, err := l.compareHosts()
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on: %s.\nMedians of %d rounds of %v; %d requests in flight.\n", machine(), s.rounds, 4*s.duration, 2*programs)
	writeHosts(&b, t, hangs)
	fmt.Print(b.String())
	return nil
}

func bench(ctx context.Context, small bool, out, plots string) error {
	s := full
	if small {
		s = quick
	}
	l, err := newLab(ctx, s)
	if err != nil {
		return err
	}
	defer l.close()
	if small {
		out, plots = l.dir, l.dir
	}
	r, err := l.measure()
	if err != nil {
		return err
	}
	text := r.markdown()
	fmt.Print(text)
	return errors.Join(writeFile(filepath.Join(out, "results.md"), text), r.draw(plots))
}

func writeFile(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

// results is everything that was measured.
type results struct {
	scale    scale
	machine  string
	unix     table
	tcp      table
	front    table // behind nginx; empty without it
	flights  curves
	latency  map[string][]point
	rate     float64
	headers  curves
	bodies   curves
	silent   []silence
	transfer []passage
	starts   []coldStart
}

// measure runs every part, in the order of the report.
func (l *lab) measure() (r results, err error) {
	r.scale, r.machine = l.scale, machine()
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"unix socket", func() (err error) { r.unix, err = l.compare(l.scale.rounds, direct, "unix"); return }},
		{"TCP", func() (err error) { r.tcp, err = l.compare(l.scale.rounds, direct, "tcp"); return }},
		{"behind nginx", func() (err error) { r.front, err = l.compareBehindNginx(); return }},
		{"in flight", func() (err error) { r.flights, err = l.inFlight(); return }},
		{"latency", func() (err error) { r.rate, r.latency, err = l.latency(r.flights); return }},
		{"header size", func() (err error) { r.headers, err = l.headerSize(); return }},
		{"body size", func() (err error) { r.bodies, err = l.bodySize(); return }},
		{"silent connections", func() (err error) { r.silent, err = l.silence(); return }},
		{"transfer", func() (err error) { r.transfer, err = l.transfers(); return }},
		{"cold start", func() (err error) { r.starts, err = l.coldStarts(); return }},
	} {
		log.Print(part.name)
		if err := part.run(); err != nil {
			return r, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return r, nil
}
