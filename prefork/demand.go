package prefork

// demand.go owns how many children there are to be: more when none has a worker
// free, fewer when some were not needed for a while. Rule: the parent finds that
// out beside the requests, which pay nothing for it.

import (
	"time"

	"example.com/scgi"
)

const (
	// idleTicks is for how many seconds a child must not have been needed
	// before one ends: as long as PHP-FPM's pm.process_idle_timeout.
	idleTicks = 10

	// staleTime is the age of a report that does not count any more: a child
	// that does not answer has no worker free.
	staleTime = 3 * time.Second
)

type demand struct {
	asked  time.Time // when children were asked whether they are full; zero: they were not
	grown  time.Time // when there were to be more children
	wave   int       // by how many
	needed [idleTicks]int
	ticks  int
}

// crowded is called when connections wait in a socket. Only the children know
// whether that is because their workers are busy, or the processor is.
func (p *parent) crowded() {
	if !p.mayGrow() {
		return
	}
	p.demand.asked = time.Now()
	for _, c := range p.children {
		if c.state == serving {
			c.send(reportNow)
		}
	}
}

// mayGrow reports whether there may be more children, and none is on its way.
func (p *parent) mayGrow() bool {
	rising := p.count(starting)
	if p.swap.in != nil {
		rising--
	}
	return !p.stopping && p.demand.asked.IsZero() && rising == 0 && p.present() == p.want &&
		(p.MaxProcesses < 0 || p.want < p.MaxProcesses)
}

// answered is called at each report and each tick. Once all children have
// answered that they are full, there are to be more.
func (p *parent) answered() {
	d := &p.demand
	if d.asked.IsZero() {
		return
	}
	full := true
	for _, c := range p.children {
		switch {
		case c.state != serving || time.Since(c.heard) > staleTime:
		case c.heard.Before(d.asked):
			return
		default:
			full = full && c.report.Full
		}
	}
	d.asked = time.Time{}
	if full {
		p.grow()
	}
}

// grow doubles its step as long as it is not enough, as PHP-FPM does.
func (p *parent) grow() {
	d := &p.demand
	step := 1
	if time.Since(d.grown) < time.Second {
		step = 2 * d.wave
	}
	if p.MaxProcesses > 0 {
		step = min(step, p.MaxProcesses-p.want)
	}
	d.grown, d.wave = time.Now(), step
	p.want += step
	d.needed[d.ticks%idleTicks] = p.want
	if p.want == p.MaxProcesses {
		p.log.Warn("prefork: all children are busy, and there may be no more", "children", p.want)
	}
}

// retire is called once a second. It ends the longest idle child if one fewer
// would have been enough all the time.
func (p *parent) retire() {
	p.answered()
	d := &p.demand
	d.needed[d.ticks%idleTicks] = max(d.needed[d.ticks%idleTicks], p.needed())
	d.ticks++
	enough := p.MinProcesses
	for _, n := range d.needed {
		enough = max(enough, n)
	}
	d.needed[d.ticks%idleTicks] = 0
	if p.want <= enough || p.present() < p.want {
		return
	}
	p.want--
	if c := p.longestIdle(); c != nil {
		p.end(c, endShared, "it was not needed")
	}
}

// needed is how many children could do what all do now.
func (p *parent) needed() int {
	open := 0
	for _, c := range p.children {
		if c.state == serving {
			open += int(c.report.Stats.Open)
		}
	}
	workers := orDefault(p.Server.MaxWorkers, scgi.DefaultMaxWorkers)
	if workers < 0 {
		return 1
	}
	n := (open + workers - 1) / workers
	if !queuesAreKnown {
		n++ // who waits is not seen, so that there has to be one that is free
	}
	return n
}

func (p *parent) longestIdle() (idle *process) {
	for _, c := range p.children {
		if c.state == serving && c != p.swap.out && (idle == nil || c.busy.Before(idle.busy)) {
			idle = c
		}
	}
	return idle
}
