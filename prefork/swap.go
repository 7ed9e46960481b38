package prefork

// swap.go owns the replacement of children that still serve: because the program
// is new, or because they are worn. Rule: a new child serves before an old one is
// asked to end, and one is replaced at a time.

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// swap is the replacement under way.
type swap struct {
	in  *process // it starts; nil: no replacement is under way
	out *process // it serves; nil once it has ended by itself
	why string
}

// isExtra reports whether there is one child more than there should be.
func (s *swap) isExtra() bool { return s.in != nil && s.out != nil }

// bounds are a child's own MaxRequests, MaxMemory and MaxAge; zero or negative is
// none.
type bounds struct {
	requests, memory int64
	age              time.Duration
}

func (p *parent) drawBounds() bounds {
	return bounds{raise(p.MaxRequests), raise(p.MaxMemory), raise(p.MaxAge)}
}

// raise adds up to a tenth. Zero stays zero: in gunicorn, no bound and a jitter
// made a bound (benoitc/gunicorn#1978).
func raise[T int64 | time.Duration](bound T) T {
	if bound < 10 {
		return bound
	}
	return bound + rand.N(bound/10)
}

// worn says why a child is to be replaced; empty if it is not.
func (c *process) worn(now *executable) (why string) {
	served := c.report.Stats.Served
	switch {
	case c.state != serving:
		return ""
	case c.report.Stuck:
		return fmt.Sprintf("%d of its handlers do not return", c.report.Stats.Abandoned)
	case c.report.Leave:
		return "it was told to by a signal, or by its own main"
	case c.exe != now:
		return whyReload
	case c.bounds.requests > 0 && served >= c.bounds.requests:
		return fmt.Sprintf("it has served %d requests", served)
	case c.bounds.age > 0 && time.Since(c.started) >= c.bounds.age:
		return "it is old"
	case c.bounds.memory > 0 && c.memory >= c.bounds.memory:
		return fmt.Sprintf("it holds %d bytes", c.memory)
	}
	return ""
}

// swapNext begins the next replacement, if there is one to do.
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

// nextWorn is the child to be replaced next: a stuck one before the others, an
// old one before a young one.
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

// swapIn is called when c begins to serve.
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

// swapLost is called when c has ended, because of err. It reports whether that
// was a failure of the new program, not of the one that children run.
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
