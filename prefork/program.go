// Package prefork runs an SCGI server in several processes and replaces each one
// that dies, whether from os.Exit in a handler, a fatal error of the runtime, a
// signal or a lack of memory.
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
// The process that you start is the parent. [Program.Run] opens the sockets there
// and starts children: the same program with the same arguments. Each child runs
// main up to Run, which serves; the parent serves nothing. Use [IsChild] for
// what only one process should do.
//
// All children accept from the same sockets. A child accepts no more connections
// than it has workers (its Server's MaxConns defaults to its MaxWorkers), so a
// request waits in the socket, where any child can take it. With MaxWorkers 1 a
// crash costs one request.
//
// Run replaces a child that dies at once, or after a pause of up to 30 s if
// children keep dying at their start. Children die with their parent, and the
// processes that a child's handlers have started die with the child.
//
// # Signals
//
// SIGTERM and SIGINT shut the program down gracefully; a second one kills. SIGHUP
// replaces the children one by one with the current version of the program,
// and keeps the old one if the new one does not start. A new version that wants
// other addresses needs a restart.
//
// # Containment
//
// With User, Group and Chroot, Run in a child changes the root directory and gives
// up root before it serves. Load what lies outside in main, before Run: time
// zones, certificates, templates. A handler finds only what is inside, such as
// etc/resolv.conf to look up names.
//
// On Windows Run fails with errors.ErrUnsupported unless MaxProcesses is zero.
// docs/processes.md has the details, systemd's settings and measurements.
package prefork

// program.go is Program and Run. Run checks the fields before it opens or starts
// anything.

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

// A Program defines where a program serves, in how many processes, and as which
// user. Its fields must not be changed once Run is called. For each number,
// zero is the default and negative is no limit.
type Program struct {
	// Server serves the requests, in each child or, without children, in this
	// process. The Program logs to its Logger too. Its MaxQueue and
	// QueueTimeout have no effect in children, because requests wait in the
	// sockets. Nil means a zero Server.
	Server *scgi.Server

	// Addr is the address to serve, in the grammar of [scgi.Listen]; it may name
	// several sockets. Empty means [scgi.DefaultAddr].
	Addr string

	// HTTPAddr is a TCP address at which Server is also served over HTTP, for
	// trying the program in a browser. Children serve it too, so a child that
	// dies breaks its HTTP connections. Empty means none.
	HTTPAddr string

	// StatusAddr is an address, in the grammar of [scgi.Listen], of a page that
	// shows all processes and their requests, as [scgi.Server.StatsHandler]
	// does for one: as HTML with the last 5 minutes, as JSON, and for
	// Prometheus, with the process id as the label pid. The parent serves it.
	// It shows the URLs of requests, so the public must not reach it. Empty
	// means none.
	StatusAddr string

	// MaxProcesses is the maximum number of children. Zero means none: this
	// process serves by itself. MinProcesses is the minimum; zero means 1.
	// The parent starts another child when all workers of all children are
	// busy, and stops one that was idle for 10 seconds.
	MaxProcesses int
	MinProcesses int

	// A child that reaches MaxRequests, MaxMemory (resident, in bytes) or
	// MaxAge is replaced: a new child serves before the old one stops. The
	// parent checks once a second and replaces one child at a time. Each child
	// gets its own bounds, up to a tenth higher, so that children do not reach
	// them together. Zero means never.
	MaxRequests int64
	MaxMemory   int64
	MaxAge      time.Duration

	// StartTimeout bounds the time from a child's start to its call of Run.
	// Zero means DefaultStartTimeout.
	StartTimeout time.Duration

	// HangTimeout bounds the time between two reports of a child, which reports
	// every second unless its runtime is stuck or a signal has stopped it. The
	// parent sends a silent child SIGQUIT, which writes its stacks to standard
	// error, and SIGKILL five seconds later. Its replacement starts at once. A
	// stopped child writes no stacks, because it would accept connections if it
	// were continued. Zero means DefaultHangTimeout.
	HangTimeout time.Duration

	// ShutdownTimeout bounds a graceful shutdown. Requests that are then under
	// way are cut, and a child that still runs two seconds later is killed. Zero
	// means DefaultShutdownTimeout.
	ShutdownTimeout time.Duration

	// User, Group and Chroot contain the processes that serve; the parent
	// remains root. User is a name or a number other than root's; the process
	// also gets its supplementary groups. Group replaces its primary group.
	// Chroot becomes the root directory. All three need root, and Chroot needs
	// User. Empty means no change.
	User   string
	Group  string
	Chroot string

	// OnReady is called once, and never in a child, when the sockets are open
	// and the first process serves. Its arguments are the addresses with their
	// actual ports; httpAddr is empty without HTTPAddr. Nil means no call.
	OnReady func(addr, httpAddr string)
}

// Errors of Run, besides those of scgi.Listen and of the system.
var (
	errMinimum   = errors.New("MinProcesses is greater than MaxProcesses")
	errNegative  = errors.New("MinProcesses is negative")
	errChildless = errors.New("MaxRequests, MaxMemory and MaxAge need child processes: MaxProcesses is zero")
	errTwice     = errors.New("prefork: Run was called twice")
	errAddresses = errors.New("prefork: the addresses have changed; restart the program")
)

// IsChild reports whether a parent's Run has started this process. It can be
// called before Run.
func IsChild() bool { return inherited != nil }

// Run serves until the program is asked to stop, and then returns nil. It returns
// an error before it starts anything if a field or an address is invalid or a
// privilege is missing. If none of the first children starts, the error wraps an
// [exec.ExitError]. Call Run once, at the end of main; it runs in the parent and
// in each child.
//
// In a child Run returns when the parent has asked it to exit and its requests
// are answered; main should then return. If ctx ends in the parent, the program
// shuts down gracefully; a child whose ctx ends is replaced.
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

// settings is a Program with its defaults filled in.
type settings struct {
	Program
	id  *identity // nil: keep the rights
	log *slog.Logger
}

// settle fills in the defaults and checks the fields.
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
