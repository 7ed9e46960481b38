package scgi

// overload.go owns what becomes of requests that can't be served in time: those
// that find no worker, and those whose handler does not return. Rule: their
// client gets an answer, their place gets a new worker, and neither grows
// without bound.

import (
	"errors"
	"net/http"
	"time"
)

// abandonGrace is what a handler has, after its context has ended, to answer by
// itself.
const abandonGrace = time.Second

// retryAfter is what a client is told that came at a bad time, in seconds.
const retryAfter = "1"

var (
	errBusy    = errors.New("too many requests are waiting")
	errTimeout = errors.New("the request took too long")
)

// refuseBusy answers a request that will not get a worker.
func (s *Server) refuseBusy(x *exchange) {
	s.refuse(x.conn, '0', &refusal{http.StatusServiceUnavailable, errBusy, x.Env})
}

// The states of an exchange. Whoever moves it from running decides how it ends.
const (
	running   = iota
	settled   // the handler has returned or panicked
	abandoned // the handler was given up
	hijacked  // the handler has the connection
)

// limitTime begins the time that the handler has.
func (x *exchange) limitTime() {
	if t := x.conn.srv.RequestTimeout; t > 0 {
		x.ctx.deadline = time.Now().Add(t)
		x.timeLimit = time.AfterFunc(t+abandonGrace, x.abandon)
	}
}

// abandon gives up on the handler.
func (x *exchange) abandon() {
	if !x.state.CompareAndSwap(running, abandoned) {
		return
	}
	s := x.conn.srv
	x.replaceWorker()
	s.count.refuse(http.StatusGatewayTimeout)
	if x.reply.takeOver() && x.reply.replyError(http.StatusGatewayTimeout, errTimeout.Error()) == nil {
		x.conn.finish(false)
	} else {
		x.conn.abort()
	}
	_ = x.body.Close()
	x.ctx.end()
}

// replaceWorker gives the place of a handler that hangs to another, unless too
// many hang.
func (x *exchange) replaceWorker() {
	s := x.conn.srv
	n := s.count.abandoned.Add(1)
	if n > int64(s.maxAbandoned()) {
		s.logger().Error("scgi: handler does not return, and too many do not: its worker is lost", "abandoned", n, whose(x.Env))
		return
	}
	s.logger().Warn("scgi: handler does not return, its worker is replaced", "abandoned", n, whose(x.Env))
	x.worker.detach()
}

func (s *Server) maxAbandoned() int {
	return limit(s.MaxAbandoned, limit(s.MaxWorkers, DefaultMaxWorkers))
}
