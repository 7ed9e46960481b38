package status

// history.go keeps samples of the last minutes, at most one a second, in a ring of fixed
// size.

import (
	"sync"
	"time"
)

const (
	historyTime     = 5 * time.Minute
	historyInterval = time.Second
	maxSamples      = int(historyTime / historyInterval)

	// leastInterval allows a tick that is a little early.
	leastInterval = historyInterval * 9 / 10

	// rateTime is the time over which the present rate is averaged.
	rateTime = 5 * time.Second
)

type sample struct {
	at                           time.Time
	served, busy, memory, number int64 // number is that of processes
}

type history struct {
	mu      sync.Mutex
	samples []sample // a ring once it is full
	next    int      // index of the oldest sample once the ring is full
}

// add drops a sample that comes too soon after the last one.
func (h *history) add(s sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.samples)
	if n > 0 && s.at.Sub(h.samples[(h.next+n-1)%n].at) < leastInterval {
		return
	}
	if n < maxSamples {
		h.samples = append(h.samples, s)
		return
	}
	h.samples[h.next] = s
	h.next = (h.next + 1) % n
}

// since returns the samples within the time shown, oldest first.
func (h *history) since(now time.Time) (last []sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.samples {
		s := h.samples[(h.next+i)%len(h.samples)]
		if now.Sub(s.at) <= historyTime {
			last = append(last, s)
		}
	}
	return last
}

// A point is a value at so many seconds before now.
type point struct{ ago, value float64 }

// points returns one value of each sample.
func points(samples []sample, now time.Time, value func(sample) int64) (ps []point) {
	for _, s := range samples {
		ps = append(ps, point{now.Sub(s.at).Seconds(), float64(max(0, value(s)))})
	}
	return ps
}

// rates returns the requests per second between successive samples.
func rates(samples []sample, now time.Time) (ps []point) {
	for i := 1; i < len(samples); i++ {
		ps = append(ps, point{now.Sub(samples[i].at).Seconds(), rate(samples[i-1], samples[i])})
	}
	return ps
}

func rate(from, to sample) float64 {
	seconds := to.at.Sub(from.at).Seconds()
	if seconds <= 0 {
		return 0
	}
	return float64(max(0, to.served-from.served)) / seconds
}

// rateNow returns the request rate of the last few seconds.
func rateNow(samples []sample) float64 {
	if len(samples) < 2 {
		return 0
	}
	last := samples[len(samples)-1]
	first := samples[len(samples)-2]
	for _, s := range samples {
		if last.at.Sub(s.at) <= rateTime && s.at.Before(first.at) {
			first = s
		}
	}
	return rate(first, last)
}
