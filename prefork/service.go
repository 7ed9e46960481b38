package prefork

// service.go is what a process serves, with or without children: SCGI on each
// socket, and HTTP in front of it. It has ended when everything that it started
// has.

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"example.com/scgi"
	"example.com/scgi/gateway"
	"example.com/scgi/internal/listen"
)

// A service is a Server on its sockets.
type service struct {
	*settings
	listeners []net.Listener
	http      net.Listener // nil: no front end
	front     *http.Server

	running sync.WaitGroup
	failed  chan error // what a listener's Serve returned
}

// newService takes the listeners over. back is the address at which the front end
// reaches the server.
func newService(s *settings, listeners []net.Listener, front net.Listener, back string) *service {
	v := &service{settings: s, listeners: listeners, http: front, failed: make(chan error, len(listeners)+1)}
	if front != nil {
		v.front = &http.Server{
			Handler:           gateway.New(back),
			ReadHeaderTimeout: scgi.DefaultReadHeaderTimeout,
		}
	}
	return v
}

func (v *service) start() {
	for _, l := range v.listeners {
		v.running.Go(func() { v.failed <- v.Server.Serve(l) })
	}
	if v.front != nil {
		v.running.Go(func() { v.failed <- v.front.Serve(v.http) })
	}
}

// stop shuts the service down gracefully, and cuts what takes longer than
// ShutdownTimeout.
func (v *service) stop() {
	ctx, cancel := withTimeout(v.ShutdownTimeout)
	defer cancel()
	var err error
	if v.front != nil {
		err = v.front.Shutdown(ctx)
	}
	if err = errors.Join(err, v.Server.Shutdown(ctx)); err != nil {
		v.log.Warn("prefork: cut requests that did not finish in time", "pid", os.Getpid())
		v.cut()
	}
	v.running.Wait()
}

func (v *service) cut() {
	if v.front != nil {
		_ = v.front.Close()
	}
	_ = v.Server.Close()
}

func withTimeout(d time.Duration) (context.Context, context.CancelFunc) {
	if d < 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), d)
}

// unlessClosed returns err, or nil if the server was closed on purpose.
func unlessClosed(err error) error {
	if errors.Is(err, scgi.ErrServerClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// setLast tells whether this process, and not its siblings, serves the
// connections in the sockets before it exits.
func (v *service) setLast(last bool) {
	for _, l := range v.listeners {
		if own, ok := l.(*listen.Listener); ok {
			own.SetInherited(!last)
		}
	}
}
