//go:build unix

package cgihost

// process.go starts the program's process, feeds it the request body, and waits
// for it. If the client leaves or time runs out first, it kills the program's whole
// process group.

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
	// killGrace is the time from SIGTERM to SIGKILL, as in Apache. Git uses it to
	// remove its lock files.
	killGrace = 3 * time.Second

	// strayGrace bounds the wait for the end of standard error after the program
	// has exited. A background job may keep the pipe open.
	strayGrace = 200 * time.Millisecond

	// refuseTime is how long a program may leave its input unread before the reply
	// starts without waiting for it.
	refuseTime = time.Second
)

// process is a program that is serving a request.
type process struct {
	cmd    *exec.Cmd
	stdout *os.File
	ctx    context.Context // cancelling it kills the program; its cause is the reason
	cancel context.CancelCauseFunc
	grace  time.Duration // from SIGTERM to SIGKILL
	delay  time.Duration // how long output waits for more before a flush
	leave  func() bool   // lets the program outlive its client
	ended  chan struct{} // closed when the program has been waited for

	taken   atomic.Bool  // feed has finished
	offered atomic.Int64 // Unix nanoseconds when the current write to stdin began; 0 if there is none
}

// run runs a program to its end and passes on its reply. It reports whether the
// reply has begun.
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
	if err != nil && err != errNoHeader { // the program may still be running
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

// start starts the program. Stdin is nil if there is no body to write.
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

// emptyInput returns a file that is at its end. It is not /dev/null because a
// chroot may lack it.
func emptyInput() (*os.File, error) {
	r, w, err := os.Pipe()
	_ = w.Close()
	return r, err
}

// isPassedOn reports whether the web server sends the client's body along. nginx
// does not in its own subrequests, such as auth_request's. Standard input is a
// folder then: a program that doesn't read it works, and one that does gets an
// error instead of mistaking the missing body for an empty upload.
func isPassedOn(r *scgi.Request) bool {
	n, err := strconv.ParseInt(r.Env.Get("CONTENT_LENGTH"), 10, 64)
	return err == nil && n == r.ContentLength
}

// startFailure returns the failure for an error from starting a program.
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
		return fail(http.StatusServiceUnavailable, "no resources to start the program: %w", err)
	case is(fs.ErrPermission):
		return fail(http.StatusForbidden, "no permission to run the program as this user: %w", err)
	case is(fs.ErrNotExist):
		return fail(http.StatusInternalServerError, "the program, or the interpreter that its #! line names, is missing: %w", err)
	case is(syscall.ENOEXEC):
		return fail(http.StatusInternalServerError, "the program is neither a binary for this system nor a script with a #! line: %w", err)
	}
	return fail(http.StatusInternalServerError, "the program did not start: %w", err)
}

// feed writes the request's body to the program's standard input. The program may
// close its input early. If the body breaks off, feed has the program killed
// without closing its input, so that the program can't mistake half an upload for
// a whole one.
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
			p.cancel(fail(http.StatusRequestTimeout, "the request's body did not arrive in time: %w", err))
			return
		case err != nil:
			p.cancel(fail(http.StatusBadRequest, "%w: %w", errGone, err))
			return
		}
	}
}

// mayFlush reports whether the reply may begin. nginx stops sending a request when
// the reply begins, and git-http-backend writes its header before it reads the
// request. So the reply waits until the program has read the body, has closed its
// input, or has left it unread for refuseTime.
func (p *process) mayFlush() bool {
	offered := p.offered.Load()
	return p.taken.Load() || offered != 0 && time.Since(time.Unix(0, offered)) > refuseTime
}

// interrupt makes a Read of the body fail, and returns when done is closed. It
// repeats because the Server may overwrite the deadline before it waits.
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

// kill kills the program and its whole process group. The group's ID can't belong
// to another group yet: the program holds it until Wait reaps it, and no system
// cycles through all process IDs within strayGrace of that.
func (p *process) kill() {
	signalGroup(p.cmd.Process, syscall.SIGTERM)
	grace := time.NewTimer(p.grace)
	defer grace.Stop()
	select {
	case <-p.ended:
	case <-grace.C:
	}
	signalGroup(p.cmd.Process, syscall.SIGKILL)
	_ = p.stdout.Close() // a process that left the group may keep the pipe open
}

// outcome returns the error of a program that has ended: why it was killed, what
// was wrong with its reply, or how it crashed. An exit status other than 0 is
// logged but is no error, since programs with a complete reply use it too.
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
	case !status.Exited(): // a signal killed it, so its output may be incomplete
		return fail(http.StatusInternalServerError, "the program crashed: %v", status)
	}
	log.Warn("cgi: the program failed", "exit", status.String())
	return nil
}
