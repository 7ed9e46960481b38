package prefork

// death.go ends children: on request, when they hang, and when they exit by
// themselves. Each exit is logged with its cause.

import (
	"os"
	"os/exec"
	"slices"
	"time"
)

const (
	// quitTime is how long a hung child has to write its stacks.
	quitTime = 5 * time.Second

	// endGrace is how long a child may take to return from main after it has cut
	// its requests.
	endGrace = 2 * time.Second

	// startGrace is how long a child that is starting may take to serve when the
	// program stops.
	startGrace = time.Second
)

// end asks a child to shut down gracefully.
func (p *parent) end(c *process, command byte, why string) {
	c.state, c.why = ending, why
	p.log.Info("prefork: stopping child", "pid", c.Pid, "why", why)
	c.send(command)
	if p.ShutdownTimeout > 0 {
		c.deadline = p.after(p.ShutdownTimeout+endGrace, func() { p.kill(c, "it did not exit in time") })
	}
}

// endStart stops a child that has not reported yet. Its first report may be under
// way while it already serves, so it is not killed at once.
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

// silenceGrace is the last part of HangTimeout, in which a silent child is asked
// to report. If the parent itself was stopped, it gets to read the reports that
// arrived meanwhile.
func (p *parent) silenceGrace() time.Duration { return min(time.Second, p.HangTimeout/4) }

// watchSilence starts to wait for the next report.
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
	c.state, c.why = hung, "it stopped reporting"
	p.log.Error("prefork: child hangs; sending SIGQUIT for its stacks, then SIGKILL",
		"pid", c.Pid, "silent", millis(time.Since(c.heard)))
	quitProcess(c.Process)
	c.deadline = p.after(quitTime, func() { _ = c.Kill() })
}

// bury is called when a child has exited.
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
		p.log.Info("prefork: child exited", attrs...)
	} else {
		p.log.Warn("prefork: child died", attrs...)
	}
}

// cause describes how a child exited.
func (p *parent) cause(end *os.ProcessState, err error) string {
	if err != nil {
		return err.Error()
	}
	cause := end.String()
	if n := oomKills(); n > p.oom {
		p.oom = n
		if isKilled(end) {
			cause += ", possibly out of memory"
		}
	}
	return cause
}
