package scgi

// context.go is a request's context. It adds no work to a request until someone calls
// Done or Err. From then on the server watches the peer, on the read side only, and takes
// no byte of the body.

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"
)

// requestContext becomes a cancellable context at the first call of Done or Err. Package
// context finds the inner one through Value, so that deriving from it starts no
// goroutine.
type requestContext struct {
	x        *exchange
	deadline time.Time // zero: none but the base's

	mu      sync.Mutex
	inner   context.Context // nil until Done or Err is called
	cancel  context.CancelFunc
	unwatch func()
	ended   bool
	blind   bool // the peer must not be watched any more
}

func (c *requestContext) start() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		if c.deadline.IsZero() {
			c.inner, c.cancel = context.WithCancel(c.x.conn.base)
		} else {
			c.inner, c.cancel = context.WithDeadline(c.x.conn.base, c.deadline)
		}
		switch {
		case c.ended:
			c.cancel()
		case !c.blind:
			c.unwatch = c.x.conn.watch(c.cancel)
		}
	}
	return c.inner
}

// end cancels the context, now or at the first call of Done or Err.
func (c *requestContext) end() { c.stop(true) }

// unwatchForGood is for a hijacked connection, whose peer is the handler's.
func (c *requestContext) unwatchForGood() { c.stop(false) }

func (c *requestContext) stop(ended bool) {
	c.mu.Lock()
	c.blind, c.ended = true, c.ended || ended
	cancel, unwatch := c.cancel, c.unwatch
	c.unwatch = nil
	c.mu.Unlock()
	if ended && cancel != nil {
		cancel()
	}
	if unwatch != nil {
		unwatch()
	}
}

func (c *requestContext) Done() <-chan struct{} { return c.start().Done() }
func (c *requestContext) Err() error            { return c.start().Err() }

func (c *requestContext) Deadline() (time.Time, bool) {
	end, ok := c.x.conn.base.Deadline()
	if c.deadline.IsZero() || ok && end.Before(c.deadline) {
		return end, ok
	}
	return c.deadline, true
}

func (c *requestContext) Value(key any) any {
	switch key {
	case requestKey{}:
		return &c.x.Request
	case http.LocalAddrContextKey:
		return c.x.conn.LocalAddr()
	}
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	return cmp.Or(inner, c.x.conn.base).Value(key)
}
