//go:build linux

package main

// curves.go measures servers against a varied quantity, such as requests in flight
// or the body size, and measures latency at a fixed rate. Each point of a curve is
// the median of its rounds.

import (
	"fmt"
	"math"

	"example.com/scgi/bench/load"
)

type point struct{ x, y float64 }

// curves holds one table for each x.
type curves struct {
	xs     []int
	tables []table
}

// points returns the curve of the i-th contestant.
func (c curves) points(i int, y func(t table, r row) float64) (ps []point) {
	for k, x := range c.xs {
		ps = append(ps, point{float64(x), y(c.tables[k], c.tables[k][i])})
	}
	return ps
}

// at returns the table for x, or nil if x was not measured.
func (c curves) at(x int) table {
	for k := range c.xs {
		if c.xs[k] == x {
			return c.tables[k]
		}
	}
	return nil
}

// vary measures cs at each x, round by round, over a unix socket.
func (l *lab) vary(xs []int, cs []contestant, config func(c load.Config, x int) load.Config) (curves, error) {
	all := curves{xs: xs, tables: make([]table, len(xs))}
	for k := range xs {
		all.tables[k] = make(table, len(cs))
	}
	for range l.scale.few {
		for i, c := range cs {
			if err := l.varyOne(c, xs, config, func(k int, s sample) {
				all.tables[k][i].contestant = c
				all.tables[k][i].samples = append(all.tables[k][i].samples, s)
			}); err != nil {
				return all, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return all, nil
}

// varyOne starts c once and measures it at each x.
func (l *lab) varyOne(c contestant, xs []int, config func(load.Config, int) load.Config, add func(k int, s sample)) error {
	s, err := l.start(c, "unix")
	if err != nil {
		return err
	}
	defer s.end()
	for k, x := range xs {
		usual := load.Config{Addr: s.addr, Protocol: c.protocol, Keep: c.keep, Flight: flight, Duration: l.scale.duration / 2}
		got, err := l.sample(s, config(usual, x))
		if err != nil {
			return fmt.Errorf("at %d: %w", x, err)
		}
		add(k, got)
	}
	return nil
}

func (l *lab) inFlight() (curves, error) {
	return l.vary(l.scale.flights, curved, func(c load.Config, x int) load.Config { c.Flight = x; return c })
}

func (l *lab) headerSize() (curves, error) {
	return l.vary(l.scale.headers, sized, func(c load.Config, x int) load.Config { c.HeaderBytes = x; return c })
}

func (l *lab) bodySize() (curves, error) {
	return l.vary(l.scale.bodies, sized, func(c load.Config, x int) load.Config { c.BodyBytes = x; return c })
}

// latency measures every contestant at the same rate, half of what the slowest can
// do: it keeps all of them busy and overloads none.
func (l *lab) latency(max curves) (rate float64, ls map[string][]point, err error) {
	rate = math.Inf(1)
	for _, r := range max.at(flight) {
		rate = math.Min(rate, 0.5*r.median(perSecond))
	}
	rate = math.Floor(rate/100) * 100
	rounds := make(map[string][]load.Result)
	for range l.scale.few {
		for _, c := range curved {
			r, err := l.atRate(c, rate)
			if err != nil {
				return 0, nil, fmt.Errorf("%s: %w", c.name, err)
			}
			rounds[c.name] = append(rounds[c.name], r)
		}
	}
	ls = make(map[string][]point)
	for name, rs := range rounds {
		ls[name] = medianLatency(rs)
	}
	return rate, ls, nil
}

func (l *lab) atRate(c contestant, rate float64) (load.Result, error) {
	s, err := l.start(c, "unix")
	if err != nil {
		return load.Result{}, err
	}
	defer s.end()
	cfg := load.Config{Addr: s.addr, Protocol: c.protocol, Keep: c.keep, Rate: rate, Duration: l.scale.duration / 3}
	if _, err := l.load(cfg); err != nil {
		return load.Result{}, err
	}
	cfg.Duration = 2 * l.scale.duration
	return l.load(cfg)
}

// medianLatency returns a point for each percentile: x is percent, y is µs.
func medianLatency(rounds []load.Result) (ps []point) {
	for k, q := range rounds[0].Latency {
		values := make([]float64, len(rounds))
		for i, r := range rounds {
			values[i] = r.Latency[k].Micros
		}
		ps = append(ps, point{q.Percent, median(values)})
	}
	return ps
}
