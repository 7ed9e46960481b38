package prefork

// parent.go owns the parent's loop. Rule: all that happens comes to it as a
// function to run, one at a time, and after each it looks at the children as a
// whole and does what is to be done; nothing else changes them, and nothing in
// it waits.

import (
	"context"
	"errors"
	"os"
	"time"

	"example.com/scgi"
)

const whyStop = "the program ends"

var errSecond = errors.New("prefork: a second signal cut what was under way")

type parent struct {
	*settings
	sockets  *sockets
	starter  *starter
	notifier *notifier
	events   chan func()
	over     chan struct{} // closed when the loop has ended

	exe      *executable // what children run
	children []*process  // in the order they were started
	want     int         // how many are to serve
	pause    pause

	swap   swap
	reload reload
	demand demand

	page  *page      // nil: none
	ended scgi.Stats // what children that have ended had counted

	signals  int  // that have told it to end
	cameUp   bool // a child has served
	stopping bool
	err      error        // what Run returns
	oom      int64        // kills for lack of memory that the system has counted
	orphans  map[int]bool // dead processes that process 1 has inherited
}

func runParent(ctx context.Context, s *settings) error {
	exe, err := openExecutable()
	if err != nil {
		return err
	}
	socks, err := openSockets(s)
	if err != nil {
		return err
	}
	defer socks.close()
	page, err := openPage(s)
	if err != nil {
		return err
	}
	defer page.close()
	p := &parent{
		settings: s, sockets: socks, exe: exe, want: s.MinProcesses,
		starter: newStarter(), notifier: newNotifier(s.log),
		events: make(chan func()), over: make(chan struct{}), page: page, oom: oomKills(),
	}
	defer p.starter.close()
	defer p.notifier.close()
	page.start(s.numbers().Of(p.snapshot), s.log)
	return p.run(ctx)
}

// run is the loop.
func (p *parent) run(ctx context.Context) error {
	signals, stop := parentSignals()
	defer stop()
	defer watchQueues(p.sockets.fds, p.post(p.crowded))()
	defer survive()()
	defer close(p.over) // before anyone who posts is waited for
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	cancelled := ctx.Done()
	p.manage()
	for !p.stopping || len(p.children) > 0 {
		select {
		case event := <-p.events:
			event()
		case sig := <-signals:
			p.signal(sig)
		case <-cancelled:
			cancelled = nil
			p.stop(nil)
		case <-tick.C:
			p.tick()
		}
		p.manage()
	}
	return p.err
}

// do runs f in the loop.
func (p *parent) do(f func()) {
	select {
	case p.events <- f:
	case <-p.over:
	}
}

// post returns a function that runs f in the loop.
func (p *parent) post(f func()) func() { return func() { p.do(f) } }

// after runs f in the loop in a while.
func (p *parent) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, p.post(f))
}

// manage compares what is with what should be.
func (p *parent) manage() {
	if p.stopping {
		return
	}
	p.fill()
	p.swapNext()
}

// tick is once a second.
func (p *parent) tick() {
	p.reapOrphans()
	p.record()
	if p.stopping {
		return
	}
	p.retire()
	if p.isAnswering() {
		p.notifier.feed()
	}
}

// isAnswering reports whether a child has reported lately.
func (p *parent) isAnswering() bool {
	for _, c := range p.children {
		if c.state == serving && time.Since(c.heard) < 3*reportInterval {
			return true
		}
	}
	return false
}

func (p *parent) signal(sig os.Signal) {
	if isReload(sig) {
		p.startReload()
		return
	}
	if p.signals++; p.signals > 1 { // the end of ctx may be the first one's
		p.err = errSecond
		p.killAll()
		return
	}
	p.log.Info("prefork: ending", "signal", sig.String(), "children", len(p.children))
	p.stop(nil)
}

// stop ends the children in order. The sockets go first: then what waits in them
// is the children's, and the last one to end closes them.
func (p *parent) stop(err error) {
	if p.stopping {
		return
	}
	p.stopping, p.err = true, err
	p.notifier.send("STOPPING=1")
	p.sockets.close()
	for _, c := range p.children {
		switch c.state {
		case starting:
			p.endStart(c)
		case serving:
			p.end(c, p.sockets.lastCommand(), whyStop)
		}
	}
}

func (p *parent) killAll() {
	for _, c := range p.children {
		_ = c.Kill()
	}
}
