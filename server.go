package scgi

// server.go owns the Server: its listeners, the connections they bring, and
// how all that ends. Rule: every connection is tracked before its first read
// and until its last byte; nothing on the accept path ever waits for a peer.

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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
	// the kernel's backlog. Zero means DefaultMaxConns.
	MaxConns int

	// MaxHeaderBytes bounds a request's header block; a longer one is answered
	// with 431. Zero means DefaultMaxHeaderBytes.
	MaxHeaderBytes int

	// MaxBodyBytes bounds CONTENT_LENGTH; more is answered with 413. A body is
	// never held in memory by the Server. Zero means DefaultMaxBodyBytes.
	MaxBodyBytes int64

	// ReadHeaderTimeout bounds the time from accepting a connection to its
	// complete header. A connection holds no worker meanwhile. Zero means
	// DefaultReadHeaderTimeout.
	ReadHeaderTimeout time.Duration

	// ReadTimeout bounds one wait for bytes of the body, and WriteTimeout one
	// wait for the peer to take bytes of the reply. Progress renews them, so a
	// long upload or stream is not cut. A handler that sets a deadline through
	// http.ResponseController takes over for its request. Zero means
	// DefaultReadTimeout and DefaultWriteTimeout.
	ReadTimeout  time.Duration
	WriteTimeout time.Duration

	// MaxQueue bounds the requests that wait for a worker, and QueueTimeout how
	// long one waits. Past either it is answered with 503 and Retry-After. Zero
	// means no bound but MaxConns, and RequestTimeout if there is one.
	MaxQueue     int
	QueueTimeout time.Duration

	// RequestTimeout is the time a handler has. Then its context ends with
	// context.DeadlineExceeded, and a second later, if it has not returned, its
	// client is answered with 504 if nothing was sent yet, or else cut off; its
	// worker is replaced, as it can't be stopped, and counts as abandoned until
	// it ends. Hijacked connections are exempt. Zero means no limit.
	RequestTimeout time.Duration

	// MaxAbandoned bounds the abandoned workers that are replaced. Past it they
	// keep their place among MaxWorkers, which the log tells as an error. Zero
	// means as many as MaxWorkers.
	MaxAbandoned int

	// SlowTime is how long a handler may run before OnSlow is told, once a
	// request, while it still runs. Zero, or a nil OnSlow, means never.
	SlowTime time.Duration
	OnSlow   func(SlowRequest)

	// MaxPanics is how many handlers may panic within a minute; with one more,
	// OnPanics is called. If it returns an error, or is nil, the Server closes
	// and Serve returns that error, or ErrPanics, so that a supervisor can start
	// a process that is not broken. Zero means no limit.
	MaxPanics int
	OnPanics  func() error

	// AccessLog gets a record for each request that ends. Nil means none.
	AccessLog *slog.Logger

	// AllowFrom names the networks whose peers may connect by TCP, AllowUIDs and
	// AllowGIDs the users and primary groups of processes that may connect by
	// unix socket (root is not exempt). Others are closed before a byte is
	// read, and counted. Empty ones allow everyone. Where the system can't tell
	// a peer's user, Serve returns errors.ErrUnsupported.
	AllowFrom []netip.Prefix
	AllowUIDs []int
	AllowGIDs []int

	// Strict holds requests to the letter of the specification. Without it,
	// what real web servers send is accepted too: CONTENT_LENGTH not first
	// (SCGI §3), repeated names, and a second CONTENT_LENGTH that is empty or
	// equal to the first.
	Strict bool

	// AllowHalfClose says that peers on TCP may shut down their writing side
	// after the request. No web server does; without it the end of input means
	// that the peer is gone, and cancels the request's context. On a unix
	// socket the two are told apart by themselves, where the system is Linux.
	AllowHalfClose bool

	// BaseContext returns the base of the contexts of l's requests. Nil means
	// context.Background.
	BaseContext func(l net.Listener) context.Context

	// Logger gets a line for each panic, refused request and failed accept.
	// Nil means slog.Default.
	Logger *slog.Logger

	once   sync.Once
	limits limits
	pool   pool[*exchange]
	peers  peerWatch
	count  counters
	killed atomic.Bool // Close was called
	panics panicStorm

	mu        sync.Mutex
	acceptors map[*acceptor]struct{}
	conns     conn          // the ring's head: all that are open
	open      int           // how many
	mostOpen  int           // the most they were
	room      sync.Cond     // open has become less
	stopping  chan struct{} // closed by Shutdown and Close
	drained   chan struct{} // closed when stopping and nothing is left
}

// limits is the Server's fields with their defaults.
type limits struct {
	handler                                      Handler
	conns, headerBytes                           int
	bodyBytes                                    int64
	readHeaderTimeout, readTimeout, writeTimeout time.Duration
}

// While the server shuts down, a connection has this long for its header: as
// long as net/http takes one without a byte for new.
const shutdownHeaderTimeout = 5 * time.Second

// So many connections at most are asked a second time, so that those of a flood
// do not have to wait for its end.
const maxLate = 64

// Workers that were not needed for this long end.
const workerIdleTime = 10 * time.Second

func (s *Server) init() {
	s.once.Do(func() {
		s.limits = limits{
			handler:           s.Handler,
			conns:             limit(s.MaxConns, DefaultMaxConns),
			headerBytes:       limit(s.MaxHeaderBytes, DefaultMaxHeaderBytes),
			bodyBytes:         orDefault(s.MaxBodyBytes, DefaultMaxBodyBytes),
			readHeaderTimeout: orDefault(s.ReadHeaderTimeout, DefaultReadHeaderTimeout),
			readTimeout:       orDefault(s.ReadTimeout, DefaultReadTimeout),
			writeTimeout:      orDefault(s.WriteTimeout, DefaultWriteTimeout),
		}
		if s.Handler == nil {
			s.limits.handler = HandlerFunc(printEnv)
		}
		s.pool = pool[*exchange]{
			run:        s.run,
			refuse:     s.refuseBusy,
			max:        orDefault(s.MaxWorkers, DefaultMaxWorkers),
			maxWaiting: s.MaxQueue,
			waitTime:   orDefault(s.QueueTimeout, s.RequestTimeout),
			idleTime:   workerIdleTime,
		}
		s.acceptors = make(map[*acceptor]struct{})
		s.conns.next, s.conns.prev = &s.conns, &s.conns
		s.room.L = &s.mu
		s.stopping, s.drained = make(chan struct{}), make(chan struct{})
	})
}

func orDefault[T int | int64 | time.Duration](value, def T) T {
	if value == 0 {
		return def
	}
	return value
}

// limit is orDefault where negative has to be a number too.
func limit(value, def int) int {
	if value = orDefault(value, def); value < 0 {
		return math.MaxInt32
	}
	return value
}

// ListenAndServe listens on addr, in the grammar of [Listen], on each of the
// sockets it names, and serves until the first of them fails, or Shutdown or
// Close is called. It always returns a non-nil error: ErrServerClosed after
// Shutdown or Close.
func (s *Server) ListenAndServe(addr string) error {
	if s.isStopping() {
		return ErrServerClosed
	}
	listeners, err := listenAll(addr)
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
// closes l: after Shutdown or Close the error is ErrServerClosed.
//
// When Shutdown is called, the connections that wait in l's backlog are served
// first, unless l was inherited (see [Listen]): then whoever holds it next
// serves them.
func (s *Server) Serve(l net.Listener) error {
	s.init()
	a := newAcceptor(l)
	defer a.close()
	if err := s.checkAllow(l); err != nil {
		return err
	}
	if !s.addAcceptor(a) {
		return ErrServerClosed
	}
	defer s.removeAcceptor(a)
	base := s.baseContext(l)
	buf := new([scratchSize]byte)
	var late []*conn // accepted before their header came
	for pause := time.Duration(0); ; {
		full := s.isFull()
		if full || len(late) == maxLate {
			late = s.greetAgain(late, buf[:])
		}
		if full {
			s.awaitRoom()
		}
		c := &conn{srv: s, base: base}
		err := a.tryAccept(c)
		if err != nil {
			late = s.greetAgain(late, buf[:])
		}
		if err == syscall.EAGAIN {
			err = a.accept(c)
		}
		switch {
		case err == nil:
			pause = 0
			s.track(c)
			if !s.isAllowed(c) {
				s.turnAway(c)
			} else if !s.greet(c, buf[:]) {
				late = append(late, c)
			}
		case s.isStopping():
			s.serveBacklog(a, base, buf[:])
			return s.panics.serveError()
		case isTemporary(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.logger().Warn("scgi: accept failed, trying again", "err", err, "in", pause)
			s.sleep(pause)
		default:
			return err
		}
	}
}

func (s *Server) baseContext(l net.Listener) context.Context {
	if s.BaseContext == nil {
		return context.Background()
	}
	ctx := s.BaseContext(l)
	if ctx == nil {
		panic("scgi: BaseContext returned a nil context")
	}
	return ctx
}

// serveBacklog serves what was queued before Shutdown.
func (s *Server) serveBacklog(a *acceptor, base context.Context, buf []byte) {
	for !a.isInherited() && !s.killed.Load() {
		s.awaitRoom()
		c := &conn{srv: s, base: base}
		if a.backlog(c) != nil {
			return
		}
		if s.track(c); s.isAllowed(c) {
			s.greetAgain([]*conn{c}, buf)
		} else {
			s.turnAway(c)
		}
	}
}

// isTemporary tells the errors of accept that pass: too little of something,
// or a connection that went away while it waited.
func isTemporary(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO, syscall.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (s *Server) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.stopping:
	}
}

// greet reads what a new connection has brought. If its header is there
// already, as is usual, it goes straight to a worker. It reports false if there
// is nothing yet.
func (s *Server) greet(c *conn, buf []byte) bool {
	n, err := c.tryRead(buf)
	if err == syscall.EAGAIN {
		return false
	}
	if n == 0 {
		s.dropEmpty(c)
		return true
	}
	x, err := s.begin(c, buf[:n])
	switch {
	case err != nil:
		go s.refuse(c, buf[0], err)
	case x == nil:
		go s.awaitHeader(c, append([]byte(nil), buf[:n]...))
	default:
		s.pool.submit(x)
	}
	return true
}

// greetAgain asks the connections a second time, which is cheaper than to wait
// for each: a web server sends its header a moment after it connects.
func (s *Server) greetAgain(late []*conn, buf []byte) []*conn {
	for i, c := range late {
		late[i] = nil
		if !s.greet(c, buf) {
			go s.awaitHeader(c, nil)
		}
	}
	return late[:0]
}

// begin makes an exchange of the header in got; nil, nil while it is
// incomplete.
func (s *Server) begin(c *conn, got []byte) (*exchange, error) {
	start, end, err := cutNetstring(got, s.limits.headerBytes)
	switch {
	case err == errNetstringLimit:
		return nil, &refusal{http.StatusRequestHeaderFieldsTooLarge, err}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, err}
	case end == 0 || len(got) <= end:
		return nil, nil
	}
	all := string(got[start:]) // the only copy; what a handler keeps points into it
	block, rest := all[:end-start], all[end-start+1:]
	h, err := parseHeader(block, s.Strict)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err}
	}
	if s.limits.bodyBytes >= 0 && h.length > s.limits.bodyBytes {
		return nil, &refusal{http.StatusRequestEntityTooLarge, errBodyLimit}
	}
	return newExchange(c, Env{block}, h, rest), nil
}

// awaitHeader waits for the rest of a header, on a goroutine of its own and
// without a worker. What it holds grows as bytes arrive, never on the word of
// the announced length.
func (s *Server) awaitHeader(c *conn, got []byte) {
	s.count.reading.Add(1)
	defer s.count.reading.Add(-1)
	if s.setHeaderDeadline(c) != nil {
		c.close()
		return
	}
	for {
		err := c.receive(func(b []byte) { got = append(got, b...) })
		if err != nil && len(got) == 0 {
			s.dropEmpty(c)
			return
		}
		var x *exchange
		if err != nil {
			err = headerEnd(err)
		} else if x, err = s.begin(c, got); x != nil {
			_ = c.rwc.SetReadDeadline(time.Time{})
			s.pool.submit(x)
			return
		}
		if err != nil {
			s.refuse(c, got[0], err)
			return
		}
	}
}

var (
	errHeaderTimeout = errors.New("the header was not complete in time")
	errHeaderCut     = errors.New("the input ended before the header was complete")
)

// headerEnd is the refusal for a header that broke off with err.
func headerEnd(err error) error {
	var t interface{ Timeout() bool }
	if errors.As(err, &t) && t.Timeout() {
		return &refusal{http.StatusRequestTimeout, errHeaderTimeout}
	}
	return &refusal{http.StatusBadRequest, errHeaderCut}
}

// setHeaderDeadline is under the lock because Shutdown shortens it.
func (s *Server) setHeaderDeadline(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.rwc.SetReadDeadline(deadline(s.headerTimeout()))
}

func (s *Server) headerTimeout() time.Duration {
	timeout := s.limits.readHeaderTimeout
	if s.isStopping() && (timeout < 0 || timeout > shutdownHeaderTimeout) {
		return shutdownHeaderTimeout
	}
	return timeout
}

// dropEmpty ends a connection that brought nothing: web servers make them, to
// probe a socket or when they change their mind, so nothing is said.
func (s *Server) dropEmpty(c *conn) {
	s.count.empty.Add(1)
	c.close()
}

// track adds c to what Shutdown waits for and Close closes.
func (s *Server) track(c *conn) {
	s.count.accepted.Add(1)
	s.mu.Lock()
	c.prev, c.next = &s.conns, s.conns.next
	c.prev.next, c.next.prev = c, c
	s.open++
	s.mostOpen = max(s.mostOpen, s.open)
	s.mu.Unlock()
	if s.killed.Load() {
		_ = c.rwc.Close()
	}
}

// untrack is idempotent.
func (s *Server) untrack(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.next == nil {
		return
	}
	c.prev.next, c.next.prev = c.next, c.prev
	c.prev, c.next = nil, nil
	s.open--
	s.room.Signal()
	s.checkDrained()
}

func (s *Server) isFull() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open >= s.limits.conns
}

// awaitRoom waits until another connection may be open.
func (s *Server) awaitRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.open >= s.limits.conns && !s.killed.Load() {
		s.room.Wait()
	}
}

func (s *Server) addAcceptor(a *acceptor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStopping() {
		return false
	}
	s.acceptors[a] = struct{}{}
	return true
}

func (s *Server) removeAcceptor(a *acceptor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.acceptors, a)
	s.checkDrained()
}

func (s *Server) isStopping() bool {
	s.init()
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// checkDrained is called, under the lock, when something has ended.
func (s *Server) checkDrained() {
	if !s.isStopping() || s.open > 0 || len(s.acceptors) > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
		s.pool.close()
		s.peers.close()
	}
}

// stop ends accepting; it is called under the lock.
func (s *Server) stop() {
	if !s.isStopping() {
		close(s.stopping)
	}
	for a := range s.acceptors {
		a.interrupt()
	}
	s.room.Broadcast()
	s.checkDrained()
}

// Shutdown ends the server without cutting anyone: it stops listening, serves
// what waits in the backlogs and what is under way, and then returns nil. If
// ctx ends first it returns ctx's error; Close then ends the rest. A connection
// that has not sent its header has 5 seconds left for it. Shutdown does not
// wait for hijacked connections.
//
// Serve and ListenAndServe return ErrServerClosed at once when Shutdown is
// called: a program must wait for Shutdown to return before it exits. A Server
// can't be used again.
func (s *Server) Shutdown(ctx context.Context) error {
	s.init()
	s.mu.Lock()
	s.stop()
	for c := s.conns.next; c != &s.conns; c = c.next {
		if c.x.Load() == nil && s.headerTimeout() == shutdownHeaderTimeout {
			_ = c.rwc.SetReadDeadline(deadline(shutdownHeaderTimeout))
		}
	}
	s.mu.Unlock()
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the server at once: listeners and connections are closed, the
// contexts of running requests cancelled. It does not wait for handlers to
// return, nor touch hijacked connections.
func (s *Server) Close() error {
	s.init()
	s.killed.Store(true)
	var running []*exchange
	s.mu.Lock()
	s.stop()
	for c := s.conns.next; c != &s.conns; c = c.next {
		if x := c.x.Load(); x != nil {
			running = append(running, x)
		}
		_ = c.rwc.Close()
	}
	s.mu.Unlock()
	for _, x := range running {
		x.ctx.end()
	}
	return nil
}

func (s *Server) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.Default()
	}
	return s.Logger
}
