package prefork

// alone.go runs a program without children: this process opens the sockets and
// serves them itself.

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
	signals  int           // shutdown signals received
	stopped  chan struct{} // closed when Shutdown has finished; nil: not requested
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

// signal shuts the process down gracefully, and at the second signal at once. The
// end of ctx does not count as a signal, because the same signal may have ended
// ctx.
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
