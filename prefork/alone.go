package prefork

// alone.go owns a process without children: it opens the sockets, and serves
// them by itself.

import (
	"context"
	"net"
	"os"
	"time"
)

type alone struct {
	*service
	notifier *notifier
	page     *page
	signals  int           // that have told it to end
	stopped  chan struct{} // closed at the end of an end in order; nil: not asked for
	err      error
}

func runAlone(ctx context.Context, s *settings) error {
	o, err := openListeners(s)
	if err != nil {
		return err
	}
	page, err := openPage(s)
	if err != nil {
		o.close()
		return err
	}
	defer page.close()
	a := &alone{notifier: newNotifier(s.log), page: page}
	defer a.notifier.close()
	name, httpName := o.names(s)
	a.service = o.service(s)
	if err := s.id.assume(); err != nil {
		o.close()
		return err
	}
	signals, stop := endSignals()
	defer stop()
	defer survive()()
	a.start()
	page.start(s.numbers(), s.log)
	a.notifier.send("READY=1")
	if s.OnReady != nil {
		s.OnReady(name, httpName)
	}
	return a.run(ctx, signals)
}

func (o *opened) service(s *settings) *service {
	var listeners []net.Listener
	for _, l := range o.scgi {
		listeners = append(listeners, l)
	}
	if o.http == nil {
		return newService(s, listeners, nil, "")
	}
	return newService(s, listeners, o.http, o.back())
}

func (a *alone) run(ctx context.Context, signals <-chan os.Signal) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	cancelled := ctx.Done()
	for {
		select {
		case <-signals:
			a.signal()
		case <-cancelled:
			cancelled = nil
			a.end(nil)
		case err := <-a.failed:
			a.end(unlessClosed(err))
		case <-tick.C:
			if a.page != nil {
				a.page.Record(a.page.Take())
			}
			if !isStuck(a.Server, a.Server.Stats()) {
				a.notifier.feed()
			}
		case <-a.stopped:
			return a.err
		}
	}
}

// signal ends the process in order, and at the second time at once. The end of ctx
// is no first time: the same signal may have brought it.
func (a *alone) signal() {
	if a.signals++; a.signals == 1 {
		a.end(nil)
		return
	}
	a.err = errSecond
	a.cut()
}

func (a *alone) end(err error) {
	if a.stopped != nil {
		return
	}
	a.err, a.stopped = err, make(chan struct{})
	a.notifier.send("STOPPING=1")
	go func() {
		a.stop()
		close(a.stopped)
	}()
}
