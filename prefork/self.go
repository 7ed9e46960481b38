package prefork

// self.go is a child's life: it serves the inherited sockets, reports, and obeys
// its parent. Only the parent ends a child that serves: a child that is asked to
// exit by a signal or by its context asks its parent, which starts a replacement
// first.

import (
	"context"
	"sync/atomic"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/status"
)

const (
	// reportInterval is the time between reports. The first reports, and those
	// after the first request, come faster: whether a child has served anything
	// decides how soon its replacement starts if it dies.
	reportInterval      = time.Second
	firstReportInterval = time.Millisecond

	// lookInterval is how often a young child checks whether it has served its
	// first request.
	lookInterval = 10 * time.Millisecond

	// leaveTime is how long a child that asked to leave waits for its parent's
	// command.
	leaveTime = 5 * time.Second
)

var childRuns atomic.Bool

// self is this process as a child.
type self struct {
	*service
	link    *link
	numbers *numbers // nil: no status page shows the requests

	interval time.Duration // between reports
	tick     *time.Timer
	begun    time.Time
	reported time.Time
	proven   bool             // a report has said that a request was served
	leaving  <-chan time.Time // nil: it was not asked to exit
	ended    chan struct{}    // nil: it is not shutting down
	last     byte             // the command that started the shutdown
}

func runChild(ctx context.Context, s *settings) error {
	if childRuns.Swap(true) {
		return errTwice
	}
	v, err := inherited.service(s)
	if err != nil {
		return err
	}
	preferToParent()
	if err := s.id.assume(); err != nil {
		return err
	}
	l, commands, err := openLink()
	if err != nil {
		return err
	}
	c := newSelf(v, l)
	if s.StatusAddr != "" {
		c.numbers = s.numbers()
	}
	return c.run(ctx, commands)
}

func newSelf(v *service, l *link) *self {
	return &self{service: v, link: l, begun: time.Now(), interval: firstReportInterval}
}

// run serves until the parent sends a command or a listener fails.
func (c *self) run(ctx context.Context, commands <-chan byte) error {
	signals, stop := endSignals()
	defer stop()
	defer survive()()
	defer surviveReload()()
	c.start()
	c.report()
	c.tick = time.NewTimer(c.interval)
	defer c.tick.Stop()
	cancelled := ctx.Done()
	for {
		select {
		case command := <-commands:
			c.obey(command)
		case <-c.tick.C:
			c.beat()
		case <-signals:
			c.askToLeave()
		case <-cancelled:
			cancelled = nil
			c.askToLeave()
		case <-c.leaving:
			c.obey(endShared)
		case err := <-c.failed:
			if c.ended == nil {
				c.stop()
				return unlessClosed(err)
			}
		case <-c.ended:
			c.report()
			c.quitIfStuck()
			return nil
		}
	}
}

// beat reports when it is time, and at once after the first request.
func (c *self) beat() {
	if !c.proven && c.Server.Stats().Served > 0 {
		c.report()
		c.interval = firstReportInterval
	} else if time.Since(c.reported) >= c.interval {
		c.report()
		c.interval = min(2*c.interval, reportInterval)
	}
	next := c.interval - time.Since(c.reported)
	if !c.proven && time.Since(c.begun) < youth {
		next = min(next, lookInterval)
	}
	c.tick.Reset(next)
}

func (c *self) obey(command byte) {
	if command == reportNow {
		c.report()
		return
	}
	if c.ended != nil {
		return
	}
	c.last, c.ended = command, make(chan struct{})
	c.setLast(command == endLast)
	go func() {
		c.stop()
		close(c.ended)
	}()
}

func (c *self) askToLeave() {
	if c.leaving == nil {
		c.leaving = time.After(leaveTime)
		c.report()
	}
}

// quitIfStuck ends a process whose handlers never return, so that the log gets
// their stacks.
func (c *self) quitIfStuck() {
	if c.last == endStuck && c.Server.Stats().Abandoned > 0 {
		quit()
		time.Sleep(quitTime)
	}
}

func (c *self) report() {
	st := c.Server.Stats()
	c.reported, c.proven = time.Now(), st.Served > 0
	c.link.send(&report{
		Full:   isFull(c.Server, st),
		Stuck:  isStuck(c.Server, st),
		Leave:  c.leaving != nil,
		Memory: status.OwnMemory(),
		Stats:  st,

		Requests: c.underWay(),
	})
}

// underWay returns the requests for the status page.
func (c *self) underWay() []status.Request {
	if c.numbers == nil {
		return nil
	}
	return c.numbers.Take().Processes[0].Requests
}

// isFull reports whether another request would have to wait.
func isFull(srv *scgi.Server, st scgi.Stats) bool {
	workers := orDefault(srv.MaxWorkers, scgi.DefaultMaxWorkers)
	return workers > 0 && (st.Busy >= int64(workers) || st.Open >= int64(workers))
}

// isStuck reports whether abandoned handlers start to occupy workers.
func isStuck(srv *scgi.Server, st scgi.Stats) bool {
	bound := orDefault(srv.MaxAbandoned, orDefault(srv.MaxWorkers, scgi.DefaultMaxWorkers))
	return bound > 0 && st.Abandoned >= int64(bound)
}
