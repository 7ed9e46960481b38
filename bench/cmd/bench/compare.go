//go:build linux

package main

// compare.go compares contestants: each round measures all of them in turn. The
// result is the median of the rounds' ratios, because the machine's speed drifts
// less within a round than between rounds.

import (
	"fmt"
	"slices"
	"time"

	"example.com/scgi/bench/load"
)

// flight is the number of requests in flight, except where that number is varied.
const flight = 64

// sample is the result of one run.
type sample struct {
	cpu      float64 // processor time per request, in µs
	front    float64 // the part of cpu that nginx used
	rps      float64
	p50, p99 float64 // µs
	peak     int64   // bytes
}

// row holds a contestant's runs, one per round.
type row struct {
	contestant
	samples []sample
}

type table []row

// compare measures each of cs. The first one is the base of the ratios.
func (l *lab) compare(rounds int, cs []contestant, network string) (table, error) {
	return l.compareAt(rounds, cs, network, flight)
}

// compareAt is compare with the given number of requests in flight.
func (l *lab) compareAt(rounds int, cs []contestant, network string, flight int) (table, error) {
	return l.inTurn(rounds, cs, func(c contestant) (sample, error) {
		s, err := l.start(c, network)
		if err != nil {
			return sample{}, err
		}
		defer s.end()
		return l.sample(s, load.Config{Addr: s.addr, Protocol: c.protocol, Keep: c.keep, Flight: flight, Duration: l.scale.duration})
	})
}

func (l *lab) inTurn(rounds int, cs []contestant, run func(contestant) (sample, error)) (table, error) {
	t := make(table, len(cs))
	for range rounds {
		for i, c := range cs {
			s, err := run(c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			t[i].contestant = c
			t[i].samples = append(t[i].samples, s)
		}
	}
	return t, nil
}

// sample runs the load c against s, after a short warm-up. The processor time
// includes that of the helpers.
func (l *lab) sample(s *server, c load.Config, helpers ...*server) (sample, error) {
	warm := c
	warm.Duration = min(c.Duration/3, 200*time.Millisecond)
	if _, err := l.load(warm); err != nil {
		return sample{}, err
	}
	before, frontBefore := s.cpu(), cpuOfAll(helpers)
	r, err := l.load(c)
	if err != nil {
		return sample{}, err
	}
	each := float64(r.Requests) * float64(time.Microsecond)
	front := float64(cpuOfAll(helpers)-frontBefore) / each
	return sample{
		cpu:   float64(s.cpu()-before)/each + front,
		front: front,
		rps:   r.PerSecond,
		p50:   r.At(50),
		p99:   r.At(99),
		peak:  s.memory("VmHWM"),
	}, nil
}

func cpuOfAll(servers []*server) (sum time.Duration) {
	for _, s := range servers {
		sum += s.cpu()
	}
	return sum
}

// median returns the median of get over r's samples.
func (r row) median(get func(sample) float64) float64 {
	values := make([]float64, len(r.samples))
	for i, s := range r.samples {
		values[i] = get(s)
	}
	return median(values)
}

// ratio returns the median over the rounds of r's value divided by base's.
func (r row) ratio(base row, get func(sample) float64) float64 {
	values := make([]float64, len(r.samples))
	for i, s := range r.samples {
		values[i] = get(s) / max(get(base.samples[i]), 1e-9)
	}
	return median(values)
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

func cpuEach(s sample) float64   { return s.cpu }
func perSecond(s sample) float64 { return s.rps }
func halfTime(s sample) float64  { return s.p50 }
func slowest(s sample) float64   { return s.p99 }
func peak(s sample) float64      { return float64(s.peak) }
