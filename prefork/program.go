// Package prefork runs an SCGI server in several processes, and replaces each of
// them that ends, whatever ended it: os.Exit in a handler, a fatal error of the
// runtime, a signal, the kernel's need for memory.
//
//	func main() {
//		p := prefork.Program{
//			Server:       &scgi.Server{Handler: scgi.HTTPHandler(mux), MaxWorkers: 16},
//			Addr:         "unix:/run/app/app.sock?group=www-data",
//			MaxProcesses: 8,
//		}
//		if err := p.Run(context.Background()); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// # Parent and children
//
// The program that is started is the parent. [Program.Run] opens the sockets
// there, starts children, which are the same program with the same arguments in
// the same folder, and watches them; the parent serves nothing. In a child the
// same main gets to the same Run, which serves. What main does before it, each
// process does: see [IsChild] for what only one of them should do.
//
// All children accept from the same sockets. A child takes no more connections
// than it has workers, so that a request waits in the socket, where any child
// can take it, and not in a busy child while another one is idle. (That is the
// Server's MaxConns, whose default is its MaxWorkers here.) With MaxWorkers 1 a
// crash costs one request.
//
// A child that dies is replaced at once. If it had served nothing, and was
// younger than 5 seconds, the next start waits for 100 ms, then 200 ms, and so
// on to 30 s; it is never given up. Requests wait in the sockets meanwhile. If
// none of the first children comes up, Run returns the error of one.
//
// Children end with their parent, however it ends: on Linux by the parent-death
// signal, and everywhere by the end of a pipe. What a child's handlers have
// started is killed when the child dies: on Linux whatever is in its session,
// elsewhere what is in its process group.
//
// # Signals
//
// SIGTERM and SIGINT end the program in order: the sockets are closed, and
// children answer what they have and what waits in the sockets (unless those are
// a supervisor's, for whose next start it is). A second signal kills. A terminal's
// Ctrl-C reaches only the parent. SIGTERM to a child makes the parent replace it.
//
// SIGHUP replaces the children by children of the program as it is then: the
// path by which it was started is looked up again, links included. One after the
// other, a new child serves before an old one is asked to end. If the first new
// one does not come up, the old ones go on, and dead ones are replaced by the old
// program, as they are until a reload has succeeded. The parent, its process id,
// its fields and the sockets stay as they are; a new version that wants other
// addresses needs a restart.
//
// # systemd
//
// Under Type=notify or Type=notify-reload systemd is told READY=1, RELOADING=1 and
// STOPPING=1. Its watchdog is fed as long as a child answers: WatchdogSec should be
// longer than HangTimeout, after which a child is replaced. OOMPolicy=continue
// keeps it from ending the service when the kernel has killed a child, and
// KillMode=mixed from signalling children beside the parent.
//
// # Containment
//
// With User, Group and Chroot the parent keeps its rights, which it needs to
// start children. A child enters the root folder and gives up its groups and its
// user in Run, before it serves, and Run fails if it can't. So the program itself
// need not lie in the root folder, and main can load what is outside: time zones
// (time.LoadLocation, or import time/tzdata), certificates (x509.SystemCertPool),
// templates. Run loads the local time zone. What handlers need from the system
// later must be inside: etc/resolv.conf and etc/hosts for names, dev/null for
// programs that they start.
//
// Without children the process itself does so; it can't remove its unix
// socket's file in the end then, which the next start replaces.
//
// # Elsewhere
//
// Children need file descriptors that pass to new processes: on Windows Run
// fails with errors.ErrUnsupported, except without children.
package prefork

// program.go owns Program: what a user sets, what it defaults to, and which part
// of the work this process does. Rule: bad settings are an error before anything
// is opened or started.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"example.com/scgi"
)

// Defaults of a Program's fields.
const (
	// DefaultStartTimeout is as long as cloudflare/tableflip waits.
	DefaultStartTimeout = time.Minute

	// DefaultHangTimeout is gunicorn's.
	DefaultHangTimeout = 30 * time.Second

	// DefaultShutdownTimeout is as long as package app has always waited.
	DefaultShutdownTimeout = 10 * time.Second
)

// A Program says how a program serves: where, in how many processes, and as
// whom. Its fields must not be changed once Run is called. For each number,
// zero is the default and negative is no limit.
type Program struct {
	// Server serves the requests, in each child or, without children, in this
	// process. Its Logger also gets the Program's lines. Its MaxQueue and
	// QueueTimeout have nothing to do in children: requests wait in the
	// sockets. Nil means a zero Server.
	Server *scgi.Server

	// Addr is the address to serve, in the grammar of [scgi.Listen]. Each of
	// the sockets it names is served. Empty means [scgi.DefaultAddr].
	Addr string

	// HTTPAddr is a TCP address to serve the same over HTTP, for trying the
	// program in a browser: children serve it too, and one that dies takes its
	// HTTP connections along. Empty means none.
	HTTPAddr string

	// StatusAddr is an address, in the grammar of [scgi.Listen], at which a page
	// shows all processes and what they work on, as [scgi.Server.StatsHandler]
	// shows one: for people, in the course of 5 minutes; as JSON; and to
	// Prometheus, with the process id as the label pid. The parent serves it.
	// It shows the URLs of requests: the public must not reach it. Empty means
	// none.
	StatusAddr string

	// MaxProcesses bounds the children. Zero means none: this process serves
	// by itself. MinProcesses is how many there are at least; zero means 1.
	// Another child starts when all workers of all children are busy; a child
	// that was not needed for 10 seconds ends, the longest idle one first.
	MaxProcesses int
	MinProcesses int

	// MaxRequests, MaxMemory (resident, in bytes) and MaxAge say when a child
	// is replaced by a new one that is ready before. They are looked at once a
	// second, and one child is replaced at a time. Each child draws its own
	// bounds, up to a tenth higher, so that children do not reach them
	// together. Zero means never.
	MaxRequests int64
	MaxMemory   int64
	MaxAge      time.Duration

	// StartTimeout bounds the time from a child's start to its call of Run.
	// Zero means DefaultStartTimeout.
	StartTimeout time.Duration

	// HangTimeout is how long a child may be silent. Children report every
	// second; one that does not, because its runtime is stuck or someone has
	// stopped it, gets SIGQUIT, which writes its stacks to standard error, and
	// SIGKILL five seconds later. Its replacement starts at once. A child that is
	// stopped writes no stacks: it stays so, since it would take connections if
	// it went on. Zero means DefaultHangTimeout.
	HangTimeout time.Duration

	// ShutdownTimeout bounds an orderly end. What is under way then is cut,
	// and a child that is still there two seconds later is killed. Zero means
	// DefaultShutdownTimeout.
	ShutdownTimeout time.Duration

	// User, Group and Chroot contain the processes that serve; the parent
	// keeps its rights. User is a name or a number, and may not be root; it
	// brings its supplementary groups along. Group replaces its primary group.
	// Chroot is a folder that becomes the root folder. All three need root, and
	// Chroot needs User. Empty means that nothing changes.
	User   string
	Group  string
	Chroot string

	// OnReady is called once, not in a child, when the sockets are open and the
	// first process serves. Its arguments are the addresses with their real
	// ports, as a client needs them; httpAddr is empty without HTTPAddr. Nil
	// means no call.
	OnReady func(addr, httpAddr string)
}

// Errors of Run, beside those of scgi.Listen and of the system. Each is wrapped
// with what it is about.
var (
	errMinimum   = errors.New("MinProcesses is greater than MaxProcesses")
	errNegative  = errors.New("MinProcesses is negative")
	errChildless = errors.New("MaxRequests, MaxMemory and MaxAge need child processes: MaxProcesses is zero")
	errTwice     = errors.New("prefork: Run was called twice")
	errAddresses = errors.New("prefork: the addresses have changed, which needs a restart")
)

// IsChild reports whether this process is a child that a parent's Run has
// started. A main can ask it before it calls Run.
func IsChild() bool { return inherited != nil }

// Run serves until the program is told to end, and then returns nil. It returns
// an error if the program can't serve: because of a field, an address, or of
// rights it does not have, before anything is started; if none of the first
// children comes up, the error wraps an [exec.ExitError]. Run is called once, at
// the end of main, by the parent and by each child.
//
// In a child Run returns when the parent has asked it to end and its requests
// are answered; main should then return. If ctx ends, the program ends in
// order; a child whose own ctx ends is replaced.
func (p *Program) Run(ctx context.Context) error {
	s, err := p.settle()
	if err != nil {
		return fmt.Errorf("prefork: %w", err)
	}
	switch {
	case inherited != nil:
		return runChild(ctx, s)
	case p.MaxProcesses == 0:
		return runAlone(ctx, s)
	}
	return runParent(ctx, s)
}

// settings is a Program with its defaults.
type settings struct {
	Program
	id  *identity // nil: keep the rights
	log *slog.Logger
}

// settle checks the fields that can be wrong by themselves.
func (p *Program) settle() (*settings, error) {
	s := &settings{Program: *p}
	if s.Server == nil {
		s.Server = new(scgi.Server)
	}
	if s.log = s.Server.Logger; s.log == nil {
		s.log = slog.Default()
	}
	if s.Addr == "" {
		s.Addr = scgi.DefaultAddr
	}
	s.StartTimeout = orDefault(s.StartTimeout, DefaultStartTimeout)
	s.HangTimeout = orDefault(s.HangTimeout, DefaultHangTimeout)
	s.ShutdownTimeout = orDefault(s.ShutdownTimeout, DefaultShutdownTimeout)
	if err := s.checkProcesses(); err != nil {
		return nil, err
	}
	var err error
	s.id, err = s.identity()
	return s, err
}

func (s *settings) checkProcesses() error {
	switch {
	case s.MaxProcesses == 0 && max(s.MaxRequests, s.MaxMemory, int64(s.MaxAge)) > 0:
		return errChildless
	case s.MaxProcesses == 0:
		return nil
	case s.MinProcesses < 0:
		return fmt.Errorf("%w: %d", errNegative, s.MinProcesses)
	case !canPassSockets:
		return fmt.Errorf("child processes: %w", errors.ErrUnsupported)
	}
	s.MinProcesses = orDefault(s.MinProcesses, 1)
	if s.MaxProcesses > 0 && s.MinProcesses > s.MaxProcesses {
		return fmt.Errorf("%w: %d and %d", errMinimum, s.MinProcesses, s.MaxProcesses)
	}
	return nil
}

func orDefault[T int | int64 | time.Duration](value, def T) T {
	if value == 0 {
		return def
	}
	return value
}
