//go:build linux

package main

// children.go compares serving in child processes with serving in one process:
// processor time, requests/s on all processors, memory, and the time to replace a
// child. The contestants of a comparison alternate within each round.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/scgi/bench/load"
)

// inChildren returns the library in that many child processes; 0 is one process
// without children.
func inChildren(name string, processes int, args ...string) contestant {
	c := with(native, append(args, "-processes", strconv.Itoa(processes))...)
	c.name = name
	return c
}

var families = []contestant{
	inChildren("one process", 0),
	inChildren("1 child", 1),
	inChildren("2 children", 2),
	inChildren("4 children", 4),
	inChildren("4 children of 1 worker", 4, "-workers", "1"),
}

// spreads returns the contestants that may use all processors. They answer with a
// table of that many rows, or with the time if rows is 0.
func spreads(rows int) []contestant {
	n := runtime.NumCPU()
	all := []contestant{
		inChildren(fmt.Sprintf("one process, GOMAXPROCS=%d", n), 0),
		inChildren("one process, GOMAXPROCS=1", 0),
		inChildren(fmt.Sprintf("%d children, GOMAXPROCS=1", n), n),
		inChildren(fmt.Sprintf("%d children, GOMAXPROCS=1", 2*n), 2*n),
	}
	for i := range all {
		all[i] = with(all[i], "-rows", strconv.Itoa(rows))
		all[i].env = []string{"GOMAXPROCS=1"}
	}
	all[0].env = []string{"GOMAXPROCS=" + strconv.Itoa(n)}
	return all
}

// column is a table that is printed as one column, with the name as its heading.
type column struct {
	name string
	table
}

// kinship holds the measurements of child processes.
type kinship struct {
	cost   []column
	gain   []column
	memory []footprint
	gaps   []time.Duration
}

// benchChildren compares child processes with one process and writes the tables to
// out.
func benchChildren(ctx context.Context, small bool, out io.Writer) error {
	s := full
	s.duration = 500 * time.Millisecond
	if small {
		s = quick
	}
	l, err := newLab(ctx, s)
	if err != nil {
		return err
	}
	defer l.close()
	var k kinship
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"processor time", func() (err error) { k.cost, err = l.costOfChildren(); return }},
		{"all processors", func() (err error) { k.gain, err = l.gainOfChildren(); return }},
		{"memory", func() (err error) { k.memory, err = l.footprints(); return }},
		{"replacement", func() (err error) { k.gaps, err = l.replacements(); return }},
	} {
		if !small {
			log.Print(part.name)
		}
		if err := part.run(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	_, err = io.WriteString(out, k.markdown(s))
	return err
}

// costOfChildren measures with all processes of a server on one processor.
func (l *lab) costOfChildren() (all []column, err error) {
	type way struct {
		network string
		flight  int
	}
	for _, w := range some(l.scale, []way{{"unix", flight}, {"unix", 1}, {"tcp", flight}, {"tcp", 1}}) {
		t, err := l.compareAt(l.scale.rounds, some(l.scale, families), w.network, w.flight)
		if err != nil {
			return nil, err
		}
		all = append(all, column{fmt.Sprintf("%s, %d in flight", w.network, w.flight), t})
	}
	return all, nil
}

// gainOfChildren measures with the servers and the load on all processors.
func (l *lab) gainOfChildren() (all []column, err error) {
	l.wide = true
	defer func() { l.wide = false }()
	for _, rows := range some(l.scale, []int{0, 20, 100}) {
		t, err := l.compareAt(l.scale.rounds, some(l.scale, spreads(rows)), "unix", flight)
		if err != nil {
			return nil, err
		}
		name := "the time"
		if rows > 0 {
			name = fmt.Sprintf("a table of %d rows", rows)
		}
		all = append(all, column{name, t})
	}
	return all, nil
}

// some returns all, or only the first and the last in a quick run.
func some[T any](s scale, all []T) []T {
	if s.rounds > 1 {
		return all
	}
	return []T{all[0], all[len(all)-1]}
}

// footprint is the memory of a process, in bytes.
type footprint struct {
	name                      string
	resident, share, ofItsOwn float64
}

// footprints measures a single process, a parent and its child: idle and, but for
// the parent, after a load.
func (l *lab) footprints() ([]footprint, error) {
	one, err := l.start(families[0], "unix")
	if err != nil {
		return nil, err
	}
	defer one.end()
	s, err := l.start(families[1], "unix")
	if err != nil {
		return nil, err
	}
	defer s.end()
	child, err := s.child()
	if err != nil {
		return nil, err
	}
	all := []footprint{
		footprintOf("one process", one.cmd.Process.Pid),
		footprintOf("parent", s.cmd.Process.Pid),
		footprintOf("child", child),
	}
	for _, s := range []*server{one, s} {
		if _, err := l.sample(s, load.Config{Addr: s.addr, Protocol: "scgi", Flight: flight, Duration: l.scale.duration}); err != nil {
			return nil, err
		}
	}
	return append(all,
		footprintOf("one process, after a load", one.cmd.Process.Pid),
		footprintOf("child, after a load", child)), nil
}

// child returns the process ID of a child of s.
func (s *server) child() (pid int, err error) {
	pids := childrenOf(s.cmd.Process.Pid)
	if len(pids) == 0 {
		return 0, errors.New("the server has no child")
	}
	return pids[0], nil
}

func footprintOf(name string, pid int) footprint {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	get := func(key string) float64 { return float64(bytesOf(string(text), key)) }
	return footprint{name, get("Rss"), get("Pss"), get("Private_Clean") + get("Private_Dirty")}
}

// replacements measures the time from killing the only child to the next answer.
// The request waits in the socket meanwhile.
func (l *lab) replacements() (gaps []time.Duration, err error) {
	s, err := l.start(families[1], "unix")
	if err != nil {
		return nil, err
	}
	defer s.end()
	c := load.Config{Addr: s.addr, Protocol: "scgi"}
	for range l.scale.starts {
		if err := l.awaitReply(c, time.Millisecond); err != nil {
			return nil, err
		}
		time.Sleep(100 * time.Millisecond) // the child reports to its parent that it has served
		child, err := s.child()
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
			return nil, err
		}
		if err := load.Ask(c); err != nil {
			return nil, err
		}
		gaps = append(gaps, time.Since(began))
	}
	slices.Sort(gaps)
	return gaps, nil
}

func (k kinship) markdown(s scale) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on: %s.\nMedians of %d rounds of %v.\n", machine(), s.rounds, s.duration)
	writeColumns(&b, "Processor time a request, of all processes on one processor", k.cost, cpuEach, func(r row) string {
		return fmt.Sprintf("%.1f µs", r.median(cpuEach))
	})
	writeColumns(&b, fmt.Sprintf("Requests/s, the load and the server on all %d processors", runtime.NumCPU()), k.gain, perSecond, func(r row) string {
		return fmt.Sprintf("%.0f/s, p99 %s, %.0f µs of processor time", r.median(perSecond), micros(r.median(slowest)), r.median(cpuEach))
	})
	b.WriteString("\n### Memory of an idle process\n\n| process | resident | its share (Pss) | its own (private) |\n|---|--:|--:|--:|\n")
	for _, f := range k.memory {
		fmt.Fprintf(&b, "| %s | %.1f MiB | %.1f MiB | %.1f MiB |\n", f.name, f.resident/(1<<20), f.share/(1<<20), f.ofItsOwn/(1<<20))
	}
	b.WriteString("\n### From the SIGKILL of the only child to the next answer\n\n")
	fmt.Fprintf(&b, "Median %s, longest %s, of %d.\n", millis(k.gaps[len(k.gaps)/2]), millis(k.gaps[len(k.gaps)-1]), len(k.gaps))
	return b.String()
}

// writeColumns writes one table: in each cell the ratio to the first row, followed
// by more's text.
func writeColumns(b *strings.Builder, title string, cs []column, get func(sample) float64, more func(row) string) {
	fmt.Fprintf(b, "\n### %s\n\n| server |", title)
	for _, c := range cs {
		fmt.Fprintf(b, " %s |", c.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(cs)) + "\n")
	for i, r := range cs[0].table {
		fmt.Fprintf(b, "| %s |", r.name)
		for _, c := range cs {
			fmt.Fprintf(b, " **%.2f**, %s |", c.table[i].ratio(c.table[0], get), more(c.table[i]))
		}
		b.WriteString("\n")
	}
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }
