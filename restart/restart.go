// Package restart replaces a running program by a new process without losing a
// request, and talks to systemd.
//
// Where a supervisor holds the sockets there is nothing to hand over: with
// systemd's socket activation (address "systemd:", see [scgi.Listen]) requests
// wait in the socket while the program is away. [Handover] is for programs
// without one: the process starts its successor, passes it the listening
// sockets, and ends once the successor serves.
//
//	var h restart.Handover
//	l, err := h.Listen("unix:/run/app/app.sock")
//	...
//	go srv.Serve(l)
//	h.Ready()
//	...
//	// On SIGHUP:
//	if err := h.Upgrade(ctx); err != nil {
//		log.Print(err) // and go on
//	} else {
//		srv.Shutdown(ctx) // and end
//	}
//
// [Notify] and [Watchdog] are sd_notify(3) and sd_watchdog_enabled(3). Both do
// nothing where systemd has not asked for them.
package restart

// restart.go owns the process that hands over. Rule: until the new process has
// said that it serves, nothing about the old one changes; from then on the
// sockets are the new one's.

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/scgi"
)

// DefaultTimeout is how long a new process has to call Ready: as long as in
// cloudflare/tableflip.
const DefaultTimeout = time.Minute

var (
	errNotReady = errors.New("restart: Ready was not called yet")
	errNotSaid  = errors.New("restart: the new process did not become ready")
	errHanded   = fmt.Errorf("restart: the sockets are handed over: %w", net.ErrClosed)
	errReplaced = errors.New("restart: the socket's file is gone or another's")
)

// A Handover passes the sockets that it listens on to a new process of the same
// program. The zero value is ready to use; a program has one, and calls Listen
// before it starts other processes. Its methods are safe for concurrent use.
type Handover struct {
	// Timeout bounds the time that a new process has to call Ready. Zero means
	// DefaultTimeout, negative no limit.
	Timeout time.Duration

	once sync.Once

	mu      sync.Mutex
	told    *os.File // where the old process waits for Ready; nil: there is none
	passed  []passed // by the old process, and not listened on so far
	sockets []*socket
	handed  bool // to a new process
}

// socket is one that this process listens on.
type socket struct {
	listener
	addr string      // as Listen was given it
	file os.FileInfo // of a unix socket's file; nil for others
}

// listener is what scgi.Listen returns.
type listener interface {
	net.Listener
	syscall.Conn
	SetAddr(addr string)
	SetInherited(inherited bool)
}

// Listen is [scgi.Listen], but takes the socket of addr that the old process
// has passed, if there is one. The address must be the same to the letter, its
// options included.
func (h *Handover) Listen(addr string) (net.Listener, error) {
	h.once.Do(h.init)
	if addr == "" {
		addr = scgi.DefaultAddr
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.handed {
		return nil, errHanded
	}
	l, err := h.open(addr)
	if err != nil {
		return nil, err
	}
	own, ok := l.(listener)
	if !ok {
		_ = l.Close()
		return nil, fmt.Errorf("restart: listen on %.200q: %w", addr, errors.ErrUnsupported)
	}
	h.sockets = append(h.sockets, &socket{own, addr, statSocket(l)})
	return l, nil
}

// statSocket returns nil if l is not a unix socket with a file.
func statSocket(l net.Listener) os.FileInfo {
	if l.Addr().Network() != "unix" {
		return nil
	}
	file, _ := os.Lstat(l.Addr().String())
	return file
}

// Upgrade starts the program anew, with the arguments, environment, folder and
// standard files of this process, and returns nil once the new process has
// called Ready. It listens on the same sockets then, and answers what waits in
// them: all that is left to do here is [scgi.Server.Shutdown], which serves what
// this process has accepted and leaves the sockets and their files alone. A
// socket that the new process did not ask for ends here, as ever.
//
// The program is found by its first argument, so that a link to another version
// is followed. Under systemd the new process becomes the main one (MAINPID=).
//
// If the new process ends or is not ready in time, or if ctx ends, it is killed,
// and this one goes on as before. The error is then the new process's
// [exec.ExitError], or ctx's. Once handed over, Upgrade and Listen fail with
// net.ErrClosed. Windows can't pass sockets: there the error is
// errors.ErrUnsupported.
func (h *Handover) Upgrade(ctx context.Context) error {
	h.once.Do(h.init)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.told != nil:
		return errNotReady
	case h.handed:
		return errHanded
	}
	ctx, cancel := h.withTimeout(ctx)
	defer cancel()
	s, err := h.start()
	if err != nil {
		return err
	}
	taken, err := s.await(ctx)
	if err == nil {
		err = Notify(fmt.Sprint("MAINPID=", s.cmd.Process.Pid))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNotSaid, s.kill(err))
	}
	h.leave(taken)
	return s.cmd.Process.Release()
}

func (h *Handover) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := h.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	if timeout < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// leave makes the sockets of the addresses in taken the new process's.
func (h *Handover) leave(taken []string) {
	for _, s := range h.sockets {
		if slices.Contains(taken, s.addr) {
			s.SetInherited(true)
		}
	}
	h.sockets, h.handed = nil, true
}

// successor is a new process that is not ready so far.
type successor struct {
	cmd   *exec.Cmd
	ready *os.File // it writes here what it listens on
}

func (h *Handover) start() (*successor, error) {
	ready, told, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	files, addrs := []*os.File{told}, []string(nil)
	defer func() { closeAll(files) }()
	for _, s := range h.sockets {
		f, err := s.pass()
		if err != nil {
			_ = ready.Close()
			return nil, err
		}
		files, addrs = append(files, f), append(addrs, s.addr)
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(environ(), variable+"="+join(addrs))
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		_ = ready.Close()
		return nil, err
	}
	return &successor{cmd, ready}, nil
}

// pass returns a copy of the socket. One that nobody can reach any more is of
// no use to a successor, who would think its file was its own.
func (s *socket) pass() (*os.File, error) {
	if s.file != nil {
		now, err := os.Lstat(s.Addr().String())
		if err != nil || !os.SameFile(now, s.file) {
			return nil, fmt.Errorf("%w: %.200q", errReplaced, s.addr)
		}
	}
	return duplicate(s)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// environ is the new process's environment: systemd's watchdog is for it now.
func environ() []string {
	pid := fmt.Sprint("WATCHDOG_PID=", os.Getpid())
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return v == pid || strings.HasPrefix(v, variable+"=")
	})
}

// await waits until the new process is ready, and returns the addresses that it
// listens on.
func (s *successor) await(ctx context.Context) (taken []string, err error) {
	defer s.ready.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := bufio.NewReader(s.ready).ReadString('\n')
	switch {
	case err == nil:
		return split(line), nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, err
}

// kill ends the new process because of err, and returns the reason: where it
// ended by itself, that is the way it did.
func (s *successor) kill(err error) error {
	_ = s.cmd.Process.Kill()
	end := s.cmd.Wait()
	if err == io.EOF {
		return cmp.Or(end, io.ErrUnexpectedEOF)
	}
	return err
}
