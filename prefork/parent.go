package prefork

// parent.go is the parent's event loop. Each event is a function that runs in the
// loop; after each one, manage compares the children with what they should be and
// acts. No other goroutine changes them, and nothing in the loop blocks.

import (
	"context"
	"errors"
	"os"
	"time"

	"example.com/scgi"
)

const whyStop = "the program is stopping"

var errSecond = errors.New("prefork: a second signal cut the requests under way")

type parent struct {
	*settings
	sockets  *sockets
	starter  *starter
	notifier *notifier
	events   chan func()
	over     chan struct{} // closed when the loop has returned

	exe      *executable // the program that children run
	children []*process  // in the order of their start
	want     int         // how many should serve
	pause    pause

	swap   swap
	reload reload
	demand demand

	page  *page      // nil: no page
	ended scgi.Stats // the counts of children that have exited

	signals  int  // shutdown signals received
	cameUp   bool // some child has served
	stopping bool
	err      error        // the error that Run returns
	oom      int64        // the system's count of out-of-memory kills
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
	defer close(p.over) // runs before the wait for those who post
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

// after runs f in the loop after a delay.
func (p *parent) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, p.post(f))
}

// manage compares the children with what they should be, and acts.
func (p *parent) manage() {
	if p.stopping {
		return
	}
	p.fill()
	p.swapNext()
}

// tick is called once a second.
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

// isAnswering reports whether a child has reported recently.
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
	if p.signals++; p.signals > 1 { // the first signal may be what ended ctx
		p.err = errSecond
		p.killAll()
		return
	}
	p.log.Info("prefork: ending", "signal", sig.String(), "children", len(p.children))
	p.stop(nil)
}

// stop shuts the children down gracefully. The parent closes its sockets first,
// so that the last child to exit closes them.
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
