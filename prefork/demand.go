package prefork

// demand.go decides how many children should run: more when no child has a free
// worker, fewer when some were idle for a while. The parent finds out without
// adding work to a request.

import (
	"time"

	"example.com/scgi"
)

const (
	// idleTicks is how many seconds a child must be idle before it ends:
	// PHP-FPM's pm.process_idle_timeout.
	idleTicks = 10

	// staleTime is the age at which a report no longer counts: a child that does
	// not answer has no free worker.
	staleTime = 3 * time.Second
)

type demand struct {
	asked  time.Time // when the children were asked whether they are full; zero: they were not
	grown  time.Time // when want last grew
	wave   int       // by how many
	needed [idleTicks]int
	ticks  int
}

// crowded is called when connections wait in a socket. Only the children know
// whether their workers are busy or the processor is.
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

// mayGrow reports whether another child may be started and none is starting.
func (p *parent) mayGrow() bool {
	rising := p.count(starting)
	if p.swap.in != nil {
		rising--
	}
	return !p.stopping && p.demand.asked.IsZero() && rising == 0 && p.present() == p.want &&
		(p.MaxProcesses < 0 || p.want < p.MaxProcesses)
}

// answered is called at each report and each tick. Once all children have
// reported that they are full, want grows.
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

// grow doubles its step each time the last one was not enough, as PHP-FPM does.
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
		p.log.Warn("prefork: all children are busy and MaxProcesses is reached", "children", p.want)
	}
}

// retire is called once a second. It ends the child that has been idle longest if
// one child fewer would have sufficed for idleTicks.
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
		p.end(c, endShared, "it was idle")
	}
}

// needed returns how many children could do the work that all of them do now.
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
		n++ // waiting requests are not counted, so one child must be free
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
