package prefork

// page.go serves the status page. It costs a request one look at the clock, and
// the program keeps serving if the page fails.

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/listen"
	"example.com/scgi/internal/status"
)

// pageTimeout bounds a request for the page and the wait for the next one.
const pageTimeout = 30 * time.Second

// numbers is the handler that StatsHandler returns. A program's page is the same
// with more processes.
type numbers = status.Handler[scgi.Stats]

func (s *settings) numbers() *numbers { return s.Server.StatsHandler().(*numbers) }

// A page is served from the program's start to its end. A nil page does nothing.
type page struct {
	*numbers
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
}

// openPage returns nil if StatusAddr is empty.
func openPage(s *settings) (*page, error) {
	if s.StatusAddr == "" {
		return nil, nil
	}
	l, err := listen.One(s.StatusAddr)
	if err != nil {
		return nil, err
	}
	s.log.Info("prefork: status page", "addr", dialable(l.Addr()))
	return &page{listener: l, server: &http.Server{
		ReadTimeout:  pageTimeout,
		WriteTimeout: pageTimeout,
		ErrorLog:     slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}}, nil
}

func (g *page) start(n *numbers, log *slog.Logger) {
	if g == nil {
		return
	}
	g.numbers, g.server.Handler = n, n
	g.serving.Go(func() {
		if err := g.server.Serve(g.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("prefork: the status page failed", "err", err)
		}
	})
}

func (g *page) close() {
	if g != nil {
		_ = g.server.Close() // first the server: Serve then knows that it was closed on purpose
		_ = g.listener.Close()
		g.serving.Wait()
	}
}

// snapshot is called on the page's own goroutines.
func (p *parent) snapshot() (snap status.Snapshot[scgi.Stats]) {
	done := make(chan struct{})
	p.do(func() {
		snap = p.look()
		close(done)
	})
	select {
	case <-done:
	case <-p.over:
	}
	return snap
}

// look returns what the parent knows of its children.
func (p *parent) look() (snap status.Snapshot[scgi.Stats]) {
	p.page.Add(&snap.Total, &p.ended, true)
	for _, c := range p.children {
		p.page.Add(&snap.Total, &c.report.Stats, false)
		snap.Processes = append(snap.Processes, status.Process[scgi.Stats]{
			Pid: c.Pid, State: c.state.String(), Age: time.Since(c.started).Seconds(),
			Memory: c.memory, Stats: c.report.Stats, Requests: c.requests(),
		})
	}
	return snap
}

// requests returns those of the last report, with their ages brought up to date.
func (c *process) requests() (rs []status.Request) {
	for _, r := range c.report.Requests {
		r.Running += time.Since(c.heard).Seconds()
		rs = append(rs, r)
	}
	return rs
}

// record is called once a second.
func (p *parent) record() {
	if p.page != nil {
		p.page.Record(p.look())
	}
}

// forget keeps the counts of a child that has exited.
func (p *parent) forget(c *process) {
	if p.page != nil {
		p.page.Add(&p.ended, &c.report.Stats, true)
	}
}
