package prefork

// birth.go starts children. It never stops trying: a program that fails at its
// start is retried after a growing pause, and each failure is logged.

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"example.com/scgi/internal/status"
)

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 30 * time.Second

	// youth is the age from which a child counts as working even if it has served
	// nothing.
	youth = 5 * time.Second
)

var errNotReady = errors.New("it did not call Run in time")

// pause returns the wait before the next start after that many failures in a row.
type pause struct {
	failures int
	until    time.Time
}

// grow counts a failure and returns the pause.
func (p *pause) grow() time.Duration {
	d := min(firstPause<<min(p.failures, 10), maxPause)
	p.failures++
	p.until = time.Now().Add(d)
	return d
}

// fill starts the children that are missing.
func (p *parent) fill() {
	for p.present() < p.want && p.mayStart() {
		if _, err := p.start(p.exe); err != nil {
			p.failed(err)
			return
		}
	}
}

// present counts the children that serve or are about to. It leaves out the one
// that will replace another.
func (p *parent) present() int {
	n := p.count(starting) + p.count(serving)
	if p.swap.isExtra() {
		n--
	}
	return n
}

func (p *parent) count(s state) (n int) {
	for _, c := range p.children {
		if c.state == s {
			n++
		}
	}
	return n
}

// mayStart reports whether a child may be started now. After a failure children
// start one at a time, but each of the first ones gets its try.
func (p *parent) mayStart() bool {
	switch {
	case p.stopping:
		return false
	case p.pause.failures == 0:
		return true
	}
	return p.cameUp && p.count(starting) == 0 && !time.Now().Before(p.pause.until)
}

// start starts a child of exe.
func (p *parent) start(exe *executable) (*process, error) {
	c, err := p.starter.start(exe, p.sockets)
	if err != nil {
		return nil, err
	}
	p.children = append(p.children, c)
	c.bounds = p.drawBounds()
	if p.StartTimeout > 0 {
		c.deadline = p.after(p.StartTimeout, func() { p.late(c) })
	}
	go p.attend(c)
	return c, nil
}

// late is called when a child has not called Run in time.
func (p *parent) late(c *process) {
	if c.state == starting {
		p.kill(c, errNotReady.Error())
	}
}

// attend reads the child's reports and waits for it to exit.
func (p *parent) attend(c *process) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		readReports(c.reports, func(r report) { p.do(func() { p.hear(c, r) }) })
	}()
	state, err := c.Wait()
	select {
	case <-read: // this includes the last report
	case <-time.After(reportInterval): // another process holds the pipe open
	}
	p.do(func() { p.bury(c, state, err) })
}

// failed is called when a child could not be started or exited before it served.
func (p *parent) failed(err error) {
	d := p.pause.grow()
	if !p.cameUp {
		if p.count(starting) == 0 {
			p.stop(fmt.Errorf("prefork: no child started: %w", err))
		}
		return
	}
	p.log.Error("prefork: child failed to start; retrying", "err", err,
		"in", d, "failures", p.pause.failures, "serving", p.count(serving))
	p.after(d, func() {})
}

// hear handles a report.
func (p *parent) hear(c *process, r report) {
	c.heard = time.Now()
	if r.Stats.Open > 0 || r.Stats.Served > c.report.Stats.Served {
		c.busy = c.heard
	}
	c.report = r
	if c.memory = r.Memory; c.bounds.memory > 0 || p.page != nil {
		c.memory = cmp.Or(status.Resident(c.Pid), r.Memory)
	}
	if c.state == starting {
		p.rise(c)
	}
	if !c.good && (r.Stats.Served > 0 || time.Since(c.ready) > youth) {
		c.good = true
		p.pause = pause{}
	}
	p.watchSilence(c)
	p.answered()
}

// rise is called when a child starts to serve.
func (p *parent) rise(c *process) {
	c.state, c.ready, c.busy = serving, c.heard, c.heard
	if c.deadline != nil {
		c.deadline.Stop()
	}
	p.log.Info("prefork: child is serving", "pid", c.Pid, "after", c.age(), "serving", p.count(serving))
	if p.stopping {
		p.end(c, p.sockets.lastCommand(), whyStop)
		return
	}
	if !p.cameUp {
		p.cameUp = true
		p.pause.failures = 0
		p.notifier.send("READY=1")
		if p.OnReady != nil {
			p.OnReady(p.sockets.name, p.sockets.httpName)
		}
	}
	p.swapIn(c)
}
