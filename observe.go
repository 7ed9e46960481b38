package scgi

// observe.go has the logs and hooks that report on running requests. Features that are
// off add no work to a request, and a panic in a hook or a slog.Handler harms nothing
// else.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"example.com/scgi/internal/stacks"
)

// ErrPanics is returned by Serve when more handlers have panicked than
// Server.MaxPanics allows.
var ErrPanics = errors.New("scgi: too many handlers have panicked")

// SlowRequest describes a handler that runs longer than Server.SlowTime.
type SlowRequest struct {
	Request *Request
	Queued  time.Duration // the time it waited for a worker
	Running time.Duration // the time since
	Stack   []byte        // of the handler's goroutine at this moment
}

// watchTime starts the timer that calls OnSlow.
func (x *exchange) watchTime() {
	s := x.conn.srv
	if s.SlowTime <= 0 || s.OnSlow == nil {
		return
	}
	began := time.Now()
	id := stacks.Mine()
	x.slow = time.AfterFunc(s.SlowTime, func() {
		stack := s.stacks.Of(id)
		if x.state.Load() == running {
			s.count.slow.Add(1)
			s.guard(func() {
				s.OnSlow(SlowRequest{Request: &x.Request, Queued: x.queued, Running: time.Since(began), Stack: stack})
			})
		}
	})
}

// guard calls hook, which runs the user's code, and logs its panic.
func (s *Server) guard(hook func()) {
	defer func() {
		if v := recover(); v != nil {
			s.logger().Error("scgi: panic in a hook", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	hook()
}

// logger returns Logger, or slog.Default, with a handler whose panics are
// dropped. The server's goroutines log through it and nothing else.
func (s *Server) logger() *slog.Logger {
	return slog.New(guardedHandler{cmp.Or(s.Logger, slog.Default()).Handler()})
}

// guardedHandler drops the panics of a slog.Handler: a log line must not end
// the process, and there is nowhere left to report them.
type guardedHandler struct{ slog.Handler }

func (h guardedHandler) Enabled(ctx context.Context, level slog.Level) bool {
	defer func() { _ = recover() }()
	return h.Handler.Enabled(ctx, level)
}

func (h guardedHandler) Handle(ctx context.Context, r slog.Record) error {
	defer func() { _ = recover() }()
	return h.Handler.Handle(ctx, r)
}

// ran returns the time until now since the handler was called, if began is set.
func (x *exchange) ran(now time.Time) time.Duration {
	return now.Sub(x.conn.srv.born) - time.Duration(x.began.Load())
}

// logAccess records a request that has ended.
func (x *exchange) logAccess(status int, sent int64, cut, panicked bool) {
	log := x.conn.srv.AccessLog
	if log == nil {
		return
	}
	x.conn.srv.guard(func() {
		log.Info("scgi: request",
			"method", x.Env.Get("REQUEST_METHOD"), "uri", x.Env.Get("REQUEST_URI"), "status", status,
			"in", x.body.taken(), "out", sent, "queued", x.queued, "ran", x.ran(time.Now()),
			"remote", x.Env.Get("REMOTE_ADDR"), "peer", x.conn.RemoteAddr(), "panic", panicked, "cut", cut)
	})
}

// countPanic counts a panic, and ends the server if there are too many.
func (s *Server) countPanic() {
	s.count.panics.Add(1)
	if s.MaxPanics > 0 && s.isStorm(time.Now()) {
		go s.guard(s.endStorm)
	}
}

// isStorm reports whether a panic now is one too many within a minute.
func (s *Server) isStorm(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.panicked = append(s.panicked, now)
	if len(s.panicked) <= s.MaxPanics {
		return false
	}
	oldest := s.panicked[0]
	s.panicked = s.panicked[1:]
	if now.Sub(oldest) > time.Minute {
		return false
	}
	s.panicked = nil // each storm counts once
	return true
}

// endStorm closes the server, unless OnPanics wants it to go on.
func (s *Server) endStorm() {
	err := fmt.Errorf("%w: more than %d within a minute", ErrPanics, s.MaxPanics)
	if s.OnPanics != nil {
		err = s.OnPanics()
	}
	if err == nil {
		return
	}
	s.logger().Error("scgi: closing the server", "err", err)
	s.halt(err)
	_ = s.Close()
}
