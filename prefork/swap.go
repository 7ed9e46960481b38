package prefork

// swap.go replaces children that serve: those of an old version, and those that
// have reached a limit. A new child serves before an old one is asked to exit,
// and children are replaced one at a time.

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A swap is the replacement under way.
type swap struct {
	in  *process // the new child, while it starts; nil: no replacement is under way
	out *process // the old child; nil once it has exited by itself
	why string
}

// isExtra reports whether one child more than want exists.
func (s *swap) isExtra() bool { return s.in != nil && s.out != nil }

// bounds are a child's own MaxRequests, MaxMemory and MaxAge; zero or negative is
// no bound.
type bounds struct {
	requests, memory int64
	age              time.Duration
}

func (p *parent) drawBounds() bounds {
	return bounds{raise(p.MaxRequests), raise(p.MaxMemory), raise(p.MaxAge)}
}

// raise adds up to a tenth. Zero stays zero: gunicorn's jitter turned no bound
// into one (benoitc/gunicorn#1978).
func raise[T int64 | time.Duration](bound T) T {
	if bound < 10 {
		return bound
	}
	return bound + rand.N(bound/10)
}

// worn returns why a child must be replaced, or "" if it need not be.
func (c *process) worn(now *executable) (why string) {
	served := c.report.Stats.Served
	switch {
	case c.state != serving:
		return ""
	case c.report.Stuck:
		return fmt.Sprintf("its abandoned handlers reached MaxAbandoned: %d", c.report.Stats.Abandoned)
	case c.report.Leave:
		return "a signal or its own context ended it"
	case c.exe != now:
		return whyReload
	case c.bounds.requests > 0 && served >= c.bounds.requests:
		return fmt.Sprintf("it has served %d requests", served)
	case c.bounds.age > 0 && time.Since(c.started) >= c.bounds.age:
		return "it reached its maximum age"
	case c.bounds.memory > 0 && c.memory >= c.bounds.memory:
		return fmt.Sprintf("it uses %d bytes of memory", c.memory)
	}
	return ""
}

// swapNext starts the next replacement, if there is one to make.
func (p *parent) swapNext() {
	if p.swap.in != nil || !p.cameUp {
		return
	}
	out, why := p.nextWorn()
	if out == nil {
		p.finishReload()
		return
	}
	if why != whyReload && p.count(ending) > 0 || !p.mayStart() {
		return
	}
	exe := p.exe
	if p.reload.next != nil {
		exe = p.reload.next
	}
	in, err := p.start(exe)
	switch {
	case err == nil:
		p.swap = swap{in, out, why}
	case exe == p.reload.next:
		p.giveUpReload(err)
	default:
		p.failed(err)
	}
}

// nextWorn returns the child to replace next: stuck ones first, then the oldest.
func (p *parent) nextWorn() (out *process, why string) {
	now := p.exe
	if p.reload.next != nil {
		now = p.reload.next
	}
	for _, c := range p.children {
		w := c.worn(now)
		if w != "" && (out == nil || c.report.Stuck && !out.report.Stuck) {
			out, why = c, w
		}
	}
	return out, why
}

// swapIn is called when c starts to serve.
func (p *parent) swapIn(c *process) {
	if c != p.swap.in {
		return
	}
	s := p.swap
	p.swap = swap{}
	if c.exe == p.reload.next {
		p.adopt()
	}
	if s.out != nil && s.out.state == serving {
		command := byte(endShared)
		if s.out.report.Stuck {
			command = endStuck
		}
		p.end(s.out, command, s.why)
	}
}

// swapLost is called when c has exited because of err. It reports whether the new
// program failed, and not the one that children run.
func (p *parent) swapLost(c *process, err error) bool {
	switch c {
	case p.swap.out:
		p.swap.out = nil
	case p.swap.in:
		p.swap = swap{}
		if c.exe == p.reload.next {
			p.giveUpReload(err)
			return true
		}
	}
	return false
}
