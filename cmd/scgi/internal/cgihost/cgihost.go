//go:build unix

// Package cgihost answers SCGI requests with CGI programs of any language (RFC
// 3875): each request starts a process, which gets the request's variables as
// its environment and the body as its standard input, and whose standard output
// is the reply.
package cgihost

// cgihost.go serves one request. When ServeSCGI returns, the program and every
// goroutine that served it have ended, and the client has either the whole reply,
// an error page, or a connection that is visibly cut.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"example.com/scgi"
)

// Host is a [scgi.Handler] that runs CGI programs. Its fields must not be changed
// after the first request.
type Host struct {
	// Path is the absolute path of a program, or of a folder of programs. In a
	// folder, SCRIPT_FILENAME names the program of each request, or PATH_INFO
	// where a request has none, relative to the folder. The path elements that
	// follow the program's become PATH_INFO. Neither variable leads out of the
	// folder, by ".." or by a symbolic link.
	Path string

	// Args are the program's arguments. No part of a request becomes one.
	Args []string

	// Env holds variables for the program, as "NAME=value". They override the
	// request's.
	Env []string

	// Pass names more variables of the request that the program gets, besides
	// those that CGI defines (see environ.go).
	Pass []string

	// Timeout is how long a program may run. Zero or negative is no limit.
	Timeout time.Duration

	// Logger gets each line that a program writes to its standard error, and one
	// line for each program that fails. Nil means slog.Default.
	Logger *slog.Logger

	grace   time.Duration // zero means killGrace
	delay   time.Duration // zero means flushDelay
	once    sync.Once
	closing context.Context // ends when Close is called
	close   context.CancelCauseFunc
	running sync.WaitGroup
}

func (h *Host) init() {
	h.once.Do(func() { h.closing, h.close = context.WithCancelCause(context.Background()) })
}

// Close kills the running programs and waits for them. ServeSCGI must not be
// called after Close.
func (h *Host) Close() error {
	h.init()
	h.close(errClosed)
	h.running.Wait()
	return nil
}

// failure says why a request has no complete reply. It holds the status for the
// client and the reason for the log.
type failure struct {
	status int
	reason error
}

func (f *failure) Error() string { return f.reason.Error() }
func (f *failure) Unwrap() error { return f.reason }

func fail(status int, format string, args ...any) error {
	return &failure{status, fmt.Errorf(format, args...)}
}

var (
	errTimeout = fail(http.StatusGatewayTimeout, "the program ran out of time and was killed")
	errClosed  = fail(http.StatusServiceUnavailable, "the host shut down and the program was killed")
	errGone    = errors.New("the client is gone")
)

// ServeSCGI runs the program for r and passes its reply on to w.
func (h *Host) ServeSCGI(w http.ResponseWriter, r *scgi.Request) {
	h.init()
	h.running.Add(1)
	defer h.running.Done()
	log := h.Logger
	if log == nil {
		log = slog.Default()
	}
	log = log.With("method", r.Env.Get("REQUEST_METHOD"), "uri", r.Env.Get("REQUEST_URI"), "remote", r.Env.Get("REMOTE_ADDR"))
	began := false
	s, err := h.find(r.Env)
	if err == nil {
		log = log.With("program", s.path)
		began, err = h.run(w, r, s, log)
	}
	if err == nil {
		return
	}
	f := &failure{status: http.StatusInternalServerError}
	isFailure := errors.As(err, &f)
	if !errors.Is(err, errGone) { // a client that leaves is no error
		level := slog.LevelError
		if f.status < 500 {
			level = slog.LevelWarn
		}
		log.Log(r.Context(), level, "cgi: no complete reply", "status", f.status, "err", err)
	}
	if began || !isFailure {
		panic(http.ErrAbortHandler) // the Server sends a 500, or cuts a reply that has begun
	}
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, fmt.Sprint(f.status, " ", http.StatusText(f.status)), f.status)
}
