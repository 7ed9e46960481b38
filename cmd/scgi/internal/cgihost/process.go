//go:build unix

package cgihost

// process.go owns the program's process: its start, its standard input and
// error, and its end. Rule: it ends by itself, or when its client is gone, or
// when its time is over; then it is killed with everything in its process
// group, and waited for.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/scgi"
)

const (
	// killGrace is the time from SIGTERM to SIGKILL, as in Apache. Git needs
	// some of it to remove its lock files.
	killGrace = 3 * time.Second

	// strayGrace bounds the wait for the end of standard error once the program
	// has exited. A job that it left in the background may hold the other end.
	strayGrace = 200 * time.Millisecond

	// refuseTime is how long a program may leave its input unread before it is
	// taken not to want it.
	refuseTime = time.Second
)

// process is a program that runs for a request.
type process struct {
	cmd    *exec.Cmd
	stdout *os.File
	ctx    context.Context // ends when the program is to be killed, with the reason as its cause
	cancel context.CancelCauseFunc
	grace  time.Duration // from SIGTERM to SIGKILL
	delay  time.Duration // of output that may be followed by more
	leave  func() bool   // the program no longer ends with its client
	ended  chan struct{} // closed when the program has been waited for

	taken   atomic.Bool  // nothing is left of the body
	offered atomic.Int64 // since when the program has not read its input; 0: it has, or there is none
}

// run starts a program and serves it to its end. It reports whether the reply
// has begun.
func (h *Host) run(w http.ResponseWriter, r *scgi.Request, s script, log *slog.Logger) (began bool, err error) {
	ctx, cancel := context.WithCancelCause(h.closing)
	defer cancel(nil)
	p := &process{
		cancel: cancel,
		grace:  cmp.Or(h.grace, killGrace),
		delay:  cmp.Or(h.delay, flushDelay),
		ended:  make(chan struct{}),
	}
	p.leave = context.AfterFunc(r.Context(), func() { cancel(errGone) })
	defer p.leave()
	if h.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, h.Timeout, errTimeout)
		defer stop()
	}
	p.ctx = ctx
	stderr := &lines{log: log}
	p.cmd = &exec.Cmd{
		Path:        s.path,
		Args:        append([]string{s.path}, h.Args...),
		Dir:         filepath.Dir(s.path), // RFC 3875 §7.2
		Env:         h.environ(r, s),
		Stderr:      stderr,
		WaitDelay:   strayGrace,
		SysProcAttr: groupAttr(),
	}
	stdin, err := p.start(r)
	if err != nil {
		return false, err
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		p.feed(stdin, r.Body)
	}()
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		p.kill()
	})
	began, err = p.reply(w)
	if err != nil && err != errNoHeader { // it may still run
		cancel(err)
	}
	exit := p.cmd.Wait()
	close(p.ended)
	if !stop() {
		<-killed
	}
	stderr.flush()
	err = p.outcome(err, exit, log)
	interrupt(w, fed)
	return began, err
}

// start starts the program. Stdin is nil if there is no body to write to it.
func (p *process) start(r *scgi.Request) (stdin io.WriteCloser, err error) {
	stdout, theirs, err := os.Pipe()
	defer theirs.Close()
	var input *os.File
	switch {
	case err != nil:
	case r.ContentLength == 0:
		input, err = emptyInput()
	case isPassedOn(r):
		stdin, err = p.cmd.StdinPipe()
	default:
		input, err = os.Open(p.cmd.Dir)
	}
	defer input.Close()
	if input != nil {
		p.cmd.Stdin = input
	}
	if err == nil {
		p.stdout, p.cmd.Stdout = stdout, theirs
		err = p.cmd.Start()
	}
	if err != nil {
		_ = stdout.Close()
		return nil, startFailure(err)
	}
	return stdin, nil
}

// emptyInput is at its end, as /dev/null is, which a root folder may lack.
func emptyInput() (*os.File, error) {
	r, w, err := os.Pipe()
	_ = w.Close()
	return r, err
}

// isPassedOn reports whether the web server sends the client's body along. nginx
// does not in requests of its own, such as auth_request's. Then standard input is
// a folder: a program that does not read is served, and one that reads gets an
// error, where an empty input would pass for an empty upload.
func isPassedOn(r *scgi.Request) bool {
	n, err := strconv.ParseInt(r.Env.Get("CONTENT_LENGTH"), 10, 64)
	return err == nil && n == r.ContentLength
}

// startFailure says what to do about a program that can't be started.
func startFailure(err error) error {
	is := func(errs ...error) bool {
		for _, e := range errs {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	switch {
	case is(syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE):
		return fail(http.StatusServiceUnavailable, "no process for the program: %w", err)
	case is(fs.ErrPermission):
		return fail(http.StatusForbidden, "no permission to run the program as this user: %w", err)
	case is(fs.ErrNotExist):
		return fail(http.StatusInternalServerError, "the program, or the interpreter that its #! line names, is missing: %w", err)
	case is(syscall.ENOEXEC):
		return fail(http.StatusInternalServerError, "the program is neither a binary of this system nor begins with a #! line: %w", err)
	}
	return fail(http.StatusInternalServerError, "the program did not start: %w", err)
}

// feed writes the request's body to the program's standard input. The program may
// close it before the end. If the body breaks off, the program is killed and does
// not see the end of its input: it might take half an upload for a whole one.
func (p *process) feed(stdin io.WriteCloser, body io.Reader) {
	defer p.taken.Store(true)
	if stdin == nil {
		return
	}
	buf := make([]byte, copySize)
	for {
		n, err := body.Read(buf)
		p.offered.Store(time.Now().UnixNano())
		if _, unwanted := stdin.Write(buf[:n]); unwanted != nil {
			return
		}
		p.offered.Store(0)
		switch {
		case err == io.EOF:
			_ = stdin.Close()
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.cancel(fail(http.StatusRequestTimeout, "the request's body did not come in time: %w", err))
			return
		case err != nil:
			p.cancel(fail(http.StatusBadRequest, "%w: %w", errGone, err))
			return
		}
	}
}

// mayFlush reports whether the reply may begin. nginx stops sending a request when
// its reply begins, and git-http-backend writes its header before it reads the
// request. So the reply waits until the program has taken the body, has closed its
// input, or has left it unread for refuseTime.
func (p *process) mayFlush() bool {
	offered := p.offered.Load()
	return p.taken.Load() || offered != 0 && time.Since(time.Unix(0, offered)) > refuseTime
}

// interrupt makes a Read of the body fail, and returns when done is closed. The
// Server sets its own deadline before each wait, so one attempt may be lost.
func interrupt(w http.ResponseWriter, done <-chan struct{}) {
	for pause := time.Duration(0); ; pause = 10 * time.Millisecond {
		select {
		case <-done:
			return
		case <-time.After(pause):
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
		}
	}
}

// kill ends the program and everything in its process group. The group's number
// can't have passed to another one: the program holds it until Wait reaps it, and
// within strayGrace of that no system gets through all other numbers.
func (p *process) kill() {
	signalGroup(p.cmd.Process, syscall.SIGTERM)
	grace := time.NewTimer(p.grace)
	defer grace.Stop()
	select {
	case <-p.ended:
	case <-grace.C:
	}
	signalGroup(p.cmd.Process, syscall.SIGKILL)
	_ = p.stdout.Close() // a process that left the group may hold the other end
}

// outcome is the error of a program that has ended: why it was killed, what was
// wrong with its reply, or how it crashed. An exit status other than 0 is logged
// and no error: programs that reply in full use it too.
func (p *process) outcome(err, exit error, log *slog.Logger) error {
	_ = p.stdout.Close()
	var status *exec.ExitError
	isExit := errors.As(exit, &status)
	switch {
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case err != nil && isExit:
		return fmt.Errorf("%w (%v)", err, status)
	case err != nil || !isExit:
		return err
	case !status.Exited(): // what it has written is not the whole reply
		return fail(http.StatusInternalServerError, "the program crashed: %v", status)
	}
	log.Warn("cgi: the program failed", "exit", status.String())
	return nil
}
