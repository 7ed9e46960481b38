package scgi

// exchange.go runs one request, from its complete header to the end of its connection.
// Whatever the handler does, exactly one goroutine decides how the exchange ends (a
// compare-and-swap on its state). A handler that does not return in time is abandoned:
// its client gets an answer, and another worker takes its worker's place.

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
)

// exchange is allocated for each request and never recycled, so that what a handler
// keeps of it stays valid.
type exchange struct {
	Request
	header Env // the Request's, even if the handler replaces that
	conn   *conn
	body   body
	reply  response
	ctx    requestContext
	worker *worker[*exchange]
	alone  bool   // nothing follows the header
	extra  string // input after the body

	state     atomic.Int32  // running, settled, abandoned or hijacked
	whole     atomic.Bool   // the reply was sent
	queued    time.Duration // the wait for a worker
	began     atomic.Int64  // when the handler was called, in nanoseconds since srv.born; zero if nobody will ask
	timeLimit *time.Timer   // nil without RequestTimeout
	slow      *time.Timer   // nil without OnSlow
}

// newExchange returns the exchange of the request with the variables env. rest is what
// has arrived after the header.
func newExchange(c *conn, env Env, h header, rest string) *exchange {
	early := rest[:min(int64(len(rest)), h.length)]
	x := &exchange{header: env, conn: c, alone: h.alone(), extra: rest[len(early):]}
	x.Request = Request{Env: env, ContentLength: max(h.length, h.client), Body: &x.body, ctx: &x.ctx, peer: c}
	x.body.conn, x.body.early = c, early
	x.body.length, x.body.isCut = h.length, h.isCut()
	x.body.left.Store(h.length)
	x.reply.x, x.reply.isHead = x, h.isHead
	x.ctx.x = x
	c.x.Store(x)
	return x
}

// run is a worker's job: the handler, then the end of the exchange.
func (s *Server) run(w *worker[*exchange], x *exchange) (fit bool) {
	if s.killed.Load() {
		x.conn.close()
		return true
	}
	x.worker, x.queued = w, w.waited
	if s.AccessLog != nil || s.watched.Load() {
		x.began.Store(int64(time.Since(s.born)))
	}
	x.limitTime()
	x.watchTime()
	defer x.settle(&fit)
	s.handler.ServeSCGI(&x.reply, &x.Request)
	return true
}

// settle is deferred around the handler; returned is false if it panicked or
// called runtime.Goexit. What comes after the report is deferred in turn: a
// panic's value can do anything when it is printed.
func (x *exchange) settle(returned *bool) {
	defer x.conclude(returned)
	if !*returned {
		panicked := recover()
		x.conn.srv.guard(func() { x.report(panicked) })
	}
}

// conclude ends the exchange, unless the handler was abandoned.
func (x *exchange) conclude(returned *bool) {
	for _, t := range [...]*time.Timer{x.timeLimit, x.slow} {
		if t != nil {
			t.Stop()
		}
	}
	if x.state.CompareAndSwap(running, settled) || x.state.Load() == hijacked {
		x.end(*returned)
	} else {
		x.conn.srv.count.abandoned.Add(-1)
		x.account(*returned)
	}
}

// end ends the reply, counts and logs the request, and then ends the connection:
// in order if the reply was sent whole, else by an abort, since without a
// Content-Length the end of the connection is all that tells a whole reply from
// a part.
func (x *exchange) end(returned bool) {
	whole := returned && x.reply.finish() == nil
	if !whole && x.reply.takeOver() {
		whole = x.reply.replyError(http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError)) == nil
	}
	x.whole.Store(whole)
	_ = x.body.Close()
	x.ctx.end()
	sent := x.account(returned)
	switch {
	case x.state.Load() == hijacked:
	case whole && x.allRead() && (sent < peerWindow || x.conn.IsTaken()):
		x.conn.close()
	case whole:
		go x.conn.linger()
	default:
		x.conn.abort()
	}
}

// account counts and logs a request that has ended, and returns the bytes of its reply.
func (x *exchange) account(returned bool) int64 {
	c := &x.conn.srv.count
	status, sent, cut := x.reply.summary()
	class := status / 100
	if class > 5 {
		class = 0
	}
	c.statuses[class].Add(1)
	if sent > 0 {
		c.bytesOut.Add(sent)
	}
	if read := x.body.taken(); read > 0 {
		c.bytesIn.Add(read)
	}
	x.logAccess(status, sent, cut, !returned)
	return sent
}

// peerWindow is less than a peer's kernel takes of a reply that nobody reads.
const peerWindow = 32 << 10

// allRead reports whether the peer has nothing left to send. Some clients send a body
// although CONTENT_LENGTH is 0, but not with a GET: then the look at the socket, which
// is a twentieth of an exchange, is not needed.
func (x *exchange) allRead() bool {
	return x.extra == "" && (x.alone || x.body.left.Load() == 0 && x.conn.Empty())
}

// report logs the end of a handler that did not return.
func (x *exchange) report(panicked any) {
	if panicked == http.ErrAbortHandler {
		return
	}
	defer x.conn.srv.countPanic()
	if panicked == nil {
		panicked = "runtime.Goexit was called"
	}
	x.conn.srv.logger().Error("scgi: handler panic",
		"panic", panicked, whose(x.Env),
		"peer", x.conn.RemoteAddr(), "stack", string(debug.Stack()))
}

// hijack gives the connection up to the handler.
func (x *exchange) hijack() (net.Conn, *bufio.ReadWriter, error) {
	x.ctx.unwatchForGood()
	if x.timeLimit != nil {
		x.timeLimit.Stop()
	}
	_ = x.body.Close()
	c, ahead, err := x.conn.Detach()
	x.conn.srv.untrack(x.conn)
	if err != nil {
		return nil, nil, err
	}
	unread := x.body.takeEarly() + x.extra + string(ahead)
	x.worker.detach()
	r := bufio.NewReader(io.MultiReader(strings.NewReader(unread), c))
	if unread != "" {
		_, _ = r.Peek(len(unread)) // so that Buffered counts it
	}
	return c, bufio.NewReadWriter(r, bufio.NewWriter(c)), nil
}

// abandonGrace is the time that a handler has to answer after its context has ended.
const abandonGrace = time.Second

// retryAfter is the Retry-After of a 503, in seconds.
const retryAfter = "1"

var (
	errBusy    = errors.New("all workers are busy, and the queue is full or this request waited too long")
	errTimeout = errors.New("the request took too long")
)

// refuseBusy answers a request that will not get a worker.
func (s *Server) refuseBusy(x *exchange) {
	s.refuse(x.conn, '0', &refusal{http.StatusServiceUnavailable, errBusy, x.Env})
}

// The states of an exchange. The goroutine that moves it from running decides how it
// ends.
const (
	running   = iota
	settled   // the handler has returned or panicked
	abandoned // the handler was given up
	hijacked  // the handler has the connection
)

// limitTime starts the handler's RequestTimeout.
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
		x.whole.Store(true)
		go x.conn.linger()
	} else {
		x.conn.abort()
	}
	_ = x.body.Close()
	x.ctx.end()
}

// replaceWorker lets another worker take the place of the one whose handler hangs, unless
// too many hang.
func (x *exchange) replaceWorker() {
	s := x.conn.srv
	n := s.count.abandoned.Add(1)
	if n > int64(limit(s.MaxAbandoned, limit(s.MaxWorkers, DefaultMaxWorkers))) {
		s.logger().Error("scgi: handler does not return, and too many do not: its worker is lost", "abandoned", n, whose(x.Env))
		return
	}
	s.logger().Warn("scgi: handler does not return, its worker is replaced", "abandoned", n, whose(x.Env))
	x.worker.detach()
}
