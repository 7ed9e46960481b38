package prefork

// death.go owns how children end: asked to, killed for their silence, or by
// themselves. Rule: each end is a line in the log, with its cause.

import (
	"os"
	"os/exec"
	"slices"
	"time"
)

const (
	// quitTime is what a hung child has to write its stacks.
	quitTime = 5 * time.Second

	// endGrace is what a child has, after it has cut its requests, to leave
	// main.
	endGrace = 2 * time.Second

	// startGrace is what a starting child has to get to serving when the
	// program ends.
	startGrace = time.Second
)

// end asks a child to end in order.
func (p *parent) end(c *process, command byte, why string) {
	c.state, c.why = ending, why
	p.log.Info("prefork: child is asked to end", "pid", c.Pid, "why", why)
	c.send(command)
	if p.ShutdownTimeout > 0 {
		c.deadline = p.after(p.ShutdownTimeout+endGrace, func() { p.kill(c, "it did not end in time") })
	}
}

// endStart ends a child that has not reported. It may serve all the same, with its
// first report under way, so that it is not killed at once.
func (p *parent) endStart(c *process) {
	c.send(p.sockets.lastCommand())
	p.after(startGrace, func() {
		if c.state == starting {
			p.kill(c, whyStop)
		}
	})
}

func (p *parent) kill(c *process, why string) {
	c.why = why
	_ = c.Kill()
}

// silenceGrace is what a silent child has to answer when it is asked. It is the
// last part of HangTimeout. It is there for the parent's sake: when the parent
// itself was stopped, there are reports that it has not read.
func (p *parent) silenceGrace() time.Duration { return min(time.Second, p.HangTimeout/4) }

// watchSilence begins to wait for the next report.
func (p *parent) watchSilence(c *process) {
	if p.HangTimeout < 0 {
		return
	}
	if c.silence != nil {
		c.silence.Stop()
	}
	grace := p.silenceGrace()
	c.silence = p.after(p.HangTimeout-grace, func() {
		if c.state != serving {
			return
		}
		c.send(reportNow)
		heard := c.heard
		c.silence = p.after(grace, func() {
			if c.state == serving && c.heard.Equal(heard) {
				p.hang(c)
			}
		})
	})
}

// hang makes a silent child write its stacks, and kills it.
func (p *parent) hang(c *process) {
	c.state, c.why = hung, "it did not report"
	p.log.Error("prefork: child does not report; it is told to write its stacks, and killed",
		"pid", c.Pid, "silent", millis(time.Since(c.heard)))
	quitProcess(c.Process)
	c.deadline = p.after(quitTime, func() { _ = c.Kill() })
}

// bury is called when a child has ended.
func (p *parent) bury(c *process, end *os.ProcessState, err error) {
	c.release()
	p.forget(c)
	p.children = slices.DeleteFunc(p.children, func(other *process) bool { return other == c })
	asked := c.state == ending && err == nil && end.Success()
	p.logEnd(c, end, err, asked || c.state == starting && p.stopping)
	if !asked {
		killLeft(c.Pid)
	}
	if err == nil {
		err = &exec.ExitError{ProcessState: end}
	}
	if p.swapLost(c, err) {
		return
	}
	if !p.stopping && (c.state == starting || c.state == serving && !c.good) {
		p.failed(err)
	}
}

func (p *parent) logEnd(c *process, end *os.ProcessState, err error, asked bool) {
	attrs := []any{"pid", c.Pid, "cause", p.cause(end, err), "age", c.age(), "served", c.report.Stats.Served}
	if c.why != "" {
		attrs = append(attrs, "why", c.why)
	}
	if asked {
		p.log.Info("prefork: child has ended", attrs...)
	} else {
		p.log.Warn("prefork: child has died", attrs...)
	}
}

// cause is how a child ended, in words.
func (p *parent) cause(end *os.ProcessState, err error) string {
	if err != nil {
		return err.Error()
	}
	cause := end.String()
	if n := oomKills(); n > p.oom {
		p.oom = n
		if isKilled(end) {
			cause += ", perhaps for lack of memory"
		}
	}
	return cause
}
