package scgi

// server.go has the Server, its fields and the loop that accepts. Nothing on the accept
// path waits for a peer.

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	sockets "example.com/scgi/internal/listen"
	"example.com/scgi/internal/socket"
	"example.com/scgi/internal/stacks"
)

// A Server serves SCGI requests. The zero value is ready to use; its fields
// must not be changed once it serves. For each number, zero is the default and
// negative is no limit.
type Server struct {
	// Handler answers the requests. Nil answers with the request's variables,
	// one a line: for finding out what a web server sends, not for the public.
	Handler Handler

	// MaxWorkers bounds the handlers that run at the same time. Requests past
	// it wait in the order they came. Zero means DefaultMaxWorkers.
	MaxWorkers int

	// MaxConns bounds the connections that are open at the same time, in
	// whatever state; hijacked ones do not count. Past it, connections wait in
	// the kernel's backlog. Each listener after the first can add one more
	// connection. Zero means DefaultMaxConns, or MaxWorkers on sockets
	// that other processes of the program serve too (package prefork).
	MaxConns int

	// MaxHeaderBytes bounds a request's header block; a longer one is answered
	// with 431, as is one of more than 1000 variables. Each of MaxConns
	// connections can hold that much memory. Zero means DefaultMaxHeaderBytes,
	// which passes all that a default nginx or lighttpd forwards. A default
	// Apache can be made to forward 762 kB: raise MaxHeaderBytes for clients
	// that send so much, and lower MaxConns with it.
	MaxHeaderBytes int

	// MaxBodyBytes bounds CONTENT_LENGTH; more is answered with 413. A body is
	// never held in memory by the Server. Zero means DefaultMaxBodyBytes.
	MaxBodyBytes int64

	// ReadHeaderTimeout bounds the time from accepting a connection to its
	// complete header. A connection holds no worker meanwhile. (On Linux a TCP
	// connection that sends nothing is accepted only after about a second.)
	// Zero means DefaultReadHeaderTimeout.
	ReadHeaderTimeout time.Duration

	// ReadTimeout bounds one wait for bytes of the body; each byte renews it, so
	// a long upload is not cut. A handler that sets a read deadline through
	// http.ResponseController takes over for its request. Zero means
	// DefaultReadTimeout.
	ReadTimeout time.Duration

	// WriteTimeout bounds the time in which the peer takes nothing of the
	// reply; then the write fails and the connection is cut. A reader that is
	// slow but takes bytes is never cut: on Linux the kernel reports what it has
	// taken, in steps of up to 64 KiB; elsewhere only what the local kernel
	// accepts counts. A handler that sets a write deadline takes over for its
	// request. Zero means no limit: a web server may stop reading for minutes
	// while its client drains a full temporary file, and MaxConns and MaxWorkers
	// bound what such readers hold. A dead host is found by TCP itself.
	WriteTimeout time.Duration

	// MaxQueue bounds the requests that wait for a worker, and QueueTimeout how
	// long one waits. Past either it is answered with 503 and Retry-After. Zero
	// means no bound but MaxConns, and RequestTimeout if there is one.
	MaxQueue     int
	QueueTimeout time.Duration

	// RequestTimeout bounds the time that a handler runs. Then its context ends
	// with context.DeadlineExceeded. If the handler has not returned a second
	// later, its client gets a 504 if nothing was sent yet, and a cut connection
	// otherwise. Nothing can stop the handler: it counts as abandoned until it
	// returns, and another worker takes its worker's place. Streams and long
	// downloads are handlers too; hijacked connections are exempt. Zero means no
	// limit.
	RequestTimeout time.Duration

	// MaxAbandoned bounds the abandoned workers that are replaced. Past it they
	// keep their place among MaxWorkers, and the log has an error. Zero
	// means as many as MaxWorkers.
	MaxAbandoned int

	// SlowTime is how long a handler runs before the server calls OnSlow, once a
	// request, on a goroutine of its own, while the handler still runs. Zero, or a
	// nil OnSlow, means never.
	SlowTime time.Duration
	OnSlow   func(SlowRequest)

	// MaxPanics bounds the handlers that panic within a minute. At one more the
	// server calls OnPanics, on a goroutine of its own. If OnPanics returns an
	// error, the Server closes and Serve returns that error, so that a supervisor
	// can start a process that is not broken. A nil OnPanics returns ErrPanics.
	// Zero means no limit.
	MaxPanics int
	OnPanics  func() error

	// AccessLog gets a record for each request whose handler has returned or
	// panicked. Refused requests are in Logger's log. Nil means no access log.
	AccessLog *slog.Logger

	// AllowFrom names the networks whose peers may connect by TCP, AllowUIDs and
	// AllowGIDs the users and primary groups of processes that may connect by
	// unix socket (root is not exempt). A peer that no list matches is closed
	// before a byte is read, and counted. AllowFrom says nothing about unix
	// sockets, nor the others about TCP; empty lists allow every peer. Where the
	// system can't name a peer's user, Serve returns errors.ErrUnsupported.
	AllowFrom []netip.Prefix
	AllowUIDs []int
	AllowGIDs []int

	// Strict holds requests to the letter of the specification. Without it,
	// what real web servers send is accepted too: CONTENT_LENGTH not first
	// (SCGI §3), repeated names, a second CONTENT_LENGTH that is empty or equal
	// to the first, and an HTTP_CONTENT_LENGTH that is greater (see Request).
	Strict bool

	// AllowHalfClose says that peers on TCP may shut down their writing side
	// after the request. No web server does; without it the end of input means
	// that the peer is gone, and cancels the request's context. On
	// Linux the server tells the two apart by itself on a unix socket.
	AllowHalfClose bool

	// BaseContext returns the base of the contexts of l's requests. Nil means
	// context.Background.
	BaseContext func(l net.Listener) context.Context

	// ConnContext derives the context of the requests on a new connection c
	// from ctx, which is the base context. It runs in the accept loop, after the
	// allow lists have admitted the peer, and so must not block. It may read
	// socket options and addresses but no data, and must not close c. Nil means
	// ctx itself.
	ConnContext func(ctx context.Context, c net.Conn) context.Context

	// Logger gets a line for each panic, refused request and failed accept.
	// If its slog.Handler or that of AccessLog panics, the line is lost. Neither
	// may call runtime.Goexit, as testing.T.Fatal does: the connection would stay
	// open.
	// Nil means slog.Default.
	Logger *slog.Logger

	once     sync.Once
	handler  Handler // or the default
	pool     pool[*exchange]
	watch    socket.Watch
	timeouts socket.Timeouts
	count    counters
	killed   atomic.Bool // Close was called
	watched  atomic.Bool // StatsHandler was called
	stacks   stacks.All  // for OnSlow
	born     time.Time   // a little before the first request

	mu         sync.Mutex
	onShutdown []func()    // by RegisterOnShutdown
	panicked   []time.Time // when the last handlers did, the oldest first
	acceptors  map[*socket.Acceptor]struct{}
	maxConns   int             // or the default, which addAcceptor may lower
	conns      conn            // the head of the ring of open connections
	open       int             // connections in the ring
	mostOpen   int             // the most that were ever in it
	room       sync.Cond       // signals that open is less
	stopping   context.Context // ended by halt, with what Serve returns
	halt       context.CancelCauseFunc
	drained    chan struct{} // closed when stopping and nothing is left
}

// shutdownHeaderTimeout is the time that a connection has for its header while the
// server shuts down: as long as net/http treats one without a byte as new.
const shutdownHeaderTimeout = 5 * time.Second

// maxLate is how many connections Serve accepts before it reads again from those that
// had sent nothing, so that a flood of connections does not delay them.
const maxLate = 64

// workerIdleTime is how long a worker stays idle before it ends.
const workerIdleTime = 10 * time.Second

func (s *Server) init() {
	s.once.Do(func() {
		if s.handler = s.Handler; s.handler == nil {
			s.handler = HandlerFunc(printEnv)
		}
		s.maxConns = limit(s.MaxConns, DefaultMaxConns)
		s.timeouts = socket.Timeouts{Read: cmp.Or(s.ReadTimeout, DefaultReadTimeout), Write: s.WriteTimeout}
		s.born = time.Now().Add(-1) // so that no request begins at zero
		s.pool = pool[*exchange]{
			run:        s.run,
			refuse:     s.refuseBusy,
			max:        cmp.Or(s.MaxWorkers, DefaultMaxWorkers),
			maxWaiting: s.MaxQueue,
			waitTime:   cmp.Or(s.QueueTimeout, s.RequestTimeout),
			idleTime:   workerIdleTime,
		}
		s.acceptors = make(map[*socket.Acceptor]struct{})
		s.conns.next, s.conns.prev = &s.conns, &s.conns
		s.room.L = &s.mu
		s.stopping, s.halt = context.WithCancelCause(context.Background())
		s.drained = make(chan struct{})
	})
}

// limit is cmp.Or where negative, no limit, has to be a number too.
func limit(value, def int) int {
	if value = cmp.Or(value, def); value < 0 {
		return math.MaxInt32
	}
	return value
}

// ListenAndServe listens on addr, in the grammar of [Listen], on each of the
// sockets it names, and serves until the first of them fails, or Shutdown or
// Close is called. It always returns a non-nil error, as Serve does.
func (s *Server) ListenAndServe(addr string) error {
	if s.isStopping() {
		return ErrServerClosed
	}
	listeners, err := sockets.All(cmp.Or(addr, DefaultAddr))
	if err != nil {
		return err
	}
	errs := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { errs <- s.Serve(l) }()
	}
	err = <-errs
	for _, l := range listeners {
		if err != ErrServerClosed {
			_ = l.Close()
		}
	}
	for range len(listeners) - 1 {
		<-errs
	}
	return err
}

// Serve accepts connections on l and serves their requests. It may be called
// with any number of listeners at once. It always returns a non-nil error and
// closes l: after Shutdown or Close the error is ErrServerClosed, after too many
// panics what MaxPanics says.
//
// When Shutdown is called, the connections that wait in l's backlog are served
// first, unless l was inherited (see [Listen]): then whoever holds it next
// serves them.
func (s *Server) Serve(l net.Listener) error {
	s.init()
	a := socket.NewAcceptor(l, &s.timeouts)
	defer a.Close()
	if err := s.checkAllow(l); err != nil {
		return err
	}
	if !s.addAcceptor(a) {
		return ErrServerClosed
	}
	defer s.removeAcceptor(a)
	base := s.baseContext(l)
	buf := new([scratchSize]byte)
	var late []*conn // accepted, but had sent nothing
	accepted := 0    // connections since late was last read
	room := false
	for pause := time.Duration(0); ; {
		if !room || accepted == maxLate {
			late, accepted = s.greetAgain(late, buf[:]), 0
		}
		if !room {
			s.awaitRoom()
		}
		c := &conn{srv: s, base: base}
		err := error(syscall.EAGAIN)
		if len(late) > 0 { // read them before Accept waits
			if err = a.TryAccept(&c.Conn); err != nil {
				late = s.greetAgain(late, buf[:])
			}
		}
		if err == syscall.EAGAIN {
			err = a.Accept(&c.Conn)
		}
		switch {
		case err == nil:
			pause = 0
			accepted++
			room = s.track(c)
			if s.admit(c) && !s.greet(c, buf[:]) {
				late = append(late, c)
			}
		case s.isStopping():
			s.serveBacklog(a, base, buf[:])
			return context.Cause(s.stopping)
		case socket.IsTemporary(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.logger().Warn("scgi: accept failed, trying again", "err", err, "in", pause)
			select {
			case <-time.After(pause):
			case <-s.stopping.Done():
			}
		default:
			return err
		}
	}
}

// baseContext returns the context of l's connections. It has an http.Server that never
// serves, since code for net/http looks for one: httputil.ReverseProxy cuts a broken
// reply only if there is one, others read its ErrorLog.
func (s *Server) baseContext(l net.Listener) context.Context {
	ctx := context.Background()
	if s.BaseContext != nil {
		if ctx = s.BaseContext(l); ctx == nil {
			panic("scgi: BaseContext returned a nil context")
		}
	}
	srv := &http.Server{ErrorLog: slog.NewLogLogger(s.logger().Handler(), slog.LevelError)}
	if h, ok := s.Handler.(httpHandler); ok {
		srv.Handler = h.Handler
	}
	return context.WithValue(ctx, http.ServerContextKey, srv)
}

// serveBacklog serves what was queued before Shutdown.
func (s *Server) serveBacklog(a *socket.Acceptor, base context.Context, buf []byte) {
	for !a.IsInherited() && !s.killed.Load() {
		s.awaitRoom()
		c := &conn{srv: s, base: base}
		if a.Backlog(&c.Conn) != nil {
			return
		}
		if s.track(c); s.admit(c) {
			s.greetAgain([]*conn{c}, buf)
		}
	}
}
