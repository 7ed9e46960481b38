// Package socket handles accepted stream connections: accepting, waiting for them,
// watching their peers, and closing them. It does not parse what they carry.
//
// On Linux a connection of a listener that package listen opened is a descriptor, and
// stays out of the runtime's poller until something has to wait for it. A web server
// sends its request as it connects, and takes a page at once, so most connections never
// wait; that saves a fifth of an exchange over TCP. Every other connection is a net.Conn
// and is used through its methods.
package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// fileChunk is the most that one sendfile call sends.
	fileChunk = 4 << 20

	// stallTime is how long a write waits without progress before it checks whether
	// unread input is the cause.
	stallTime = time.Second

	// Linger ends after nginx's lingering_timeout without input, and after its
	// lingering_time at the latest.
	lingerWait  = 5 * time.Second
	lingerTime  = 30 * time.Second
	lingerBytes = 256 << 20
)

// ErrDropped is returned by Read after input was dropped, because the peer sent it instead
// of taking the reply.
var ErrDropped = errors.New("socket: the input was dropped")

// Timeouts bound single waits; zero or a negative value is no limit. A Conn keeps the
// pointer, so all connections of a server share one Timeouts.
type Timeouts struct {
	// Read bounds one wait of Conn.Read for input.
	Read time.Duration

	// Write bounds the time for which the peer takes nothing of the output.
	//
	// On Linux the peer's own progress counts, as the kernel reports it (SIOCOUTQ).
	// On TCP that is what the peer's kernel has acknowledged: a slow reader's window
	// advances by up to 64 KiB at a time over the loopback interface. On a unix
	// socket it is what the peer has read, up to 36 KiB at a time. Elsewhere progress
	// is what the local kernel accepts, and it may accept nothing until a good part
	// of its send buffer is free.
	Write time.Duration
}

// stream is what a Conn needs of its connection. The try methods never wait; they return
// syscall.EAGAIN instead.
type stream interface {
	tryRead(p []byte) (int, error)
	tryWrite(head, body []byte) (int, error)
	trySendFile(f File, n int64) (int64, error)

	// These wait until the first byte or the deadline.
	read(p []byte) (int, error)
	write(head, body []byte) (int, error)
	sendFile(f File, n int64) (int64, error)

	// receive reads into a buffer that it does not hold while it waits.
	receive(use func([]byte)) error

	setReadDeadline(t time.Time) error
	setWriteDeadline(t time.Time) error

	// control calls f with the descriptor, which stays open during the call. It fails
	// if there is no descriptor.
	control(f func(fd int)) error

	closeWrite() error
	abort()
	close() error
	detach() (net.Conn, error)
	netConn(c *Conn) net.Conn // a view of the same connection

	localAddr() net.Addr
	remoteAddr() net.Addr
}

// A Conn is an accepted connection. [Acceptor] makes it from its zero value. Its
// methods are safe for concurrent use, except that writes must not overlap.
type Conn struct {
	s        stream // &fd or &other
	fd       descriptor
	other    portable
	timeouts *Timeouts

	ownRead, ownWrite atomic.Bool // whether SetReadDeadline or SetWriteDeadline was called

	mu      sync.Mutex    // guards the setting of deadlines
	ending  bool          // the caller can't set deadlines any more
	dropped chan struct{} // non-nil once input is dropped; closed when that ends

	reading sync.Mutex // held while reading
	ahead   []byte     // input that ReadAhead took
}

// TryRead reads input that has arrived. It never waits: if there is none, or that is
// unknown, TryRead fails with syscall.EAGAIN.
func (c *Conn) TryRead(p []byte) (int, error) { return c.s.tryRead(p) }

// Read reads at least one byte. It waits for at most Timeouts.Read, or until the deadline
// set by SetReadDeadline.
func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.isDropped() {
		return 0, ErrDropped
	}
	if !c.ownRead.Load() {
		if n, err := c.s.tryRead(p); err != syscall.EAGAIN {
			return n, err
		}
		if err := c.renewRead(); err != nil {
			return 0, err
		}
	}
	return c.s.read(p)
}

// Receive waits for input for as long as LimitRead allows, and passes it to use, which
// must not keep it. Receive holds its buffer only while there is input, so an idle
// connection costs no buffer; a net.Conn needs a small one.
func (c *Conn) Receive(use func([]byte)) error { return c.s.receive(use) }

// LimitRead bounds the total time of the server's own reads from now on; zero or a negative
// value is no limit.
func (c *Conn) LimitRead(timeout time.Duration) error {
	return c.s.setReadDeadline(Deadline(timeout))
}

// SetReadDeadline sets a deadline that replaces Timeouts.Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setOwn(&c.ownRead, c.s.setReadDeadline, t)
}

// SetWriteDeadline sets a deadline that replaces Timeouts.Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setOwn(&c.ownWrite, c.s.setWriteDeadline, t)
}

func (c *Conn) setOwn(own *atomic.Bool, set func(time.Time) error, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return net.ErrClosed
	}
	own.Store(true)
	return set(t)
}

func (c *Conn) renewRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ending:
		return net.ErrClosed
	case c.ownRead.Load():
		return nil
	}
	return c.s.setReadDeadline(Deadline(c.timeouts.Read))
}

// Write sends head and then body, in one system call if the peer takes both, and returns
// the number of bytes of both that were sent.
func (c *Conn) Write(head, body []byte) (sent int, err error) {
	all := len(head) + len(body)
	if !c.ownWrite.Load() {
		sent, err = c.s.tryWrite(head, body)
		if err != nil && err != syscall.EAGAIN {
			return sent, err
		}
	}
	for p := (progress{c: c}); sent < all; {
		if err := p.begin(); err != nil {
			return sent, err
		}
		n, err := c.s.write(head[min(sent, len(head)):], body[max(sent-len(head), 0):])
		sent += n
		if err := p.end(n > 0, err); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// A File is an *os.File, or the wrapper that its WriteTo method passes to io.Copy.
type File interface {
	io.Reader
	Stat() (os.FileInfo, error)
	SyscallConn() (syscall.RawConn, error)
}

// SendFile sends the next n bytes of f, or all if n is negative, without copying them
// through the program. It reports false, having sent nothing, if it can't do that with
// this file.
func (c *Conn) SendFile(f File, n int64) (sent int64, ok bool, err error) {
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, false, nil
	}
	for p := (progress{c: c}); n < 0 || sent < n; {
		chunk := int64(fileChunk)
		if n >= 0 {
			chunk = min(chunk, n-sent)
		}
		k, err := int64(0), error(syscall.EAGAIN)
		if !c.ownWrite.Load() {
			k, err = c.s.trySendFile(f, chunk)
		}
		if err == syscall.EAGAIN {
			if err := p.begin(); err != nil {
				return sent, true, err
			}
			k, err = c.s.sendFile(f, chunk)
		}
		sent += k
		if err == nil && k == 0 { // the end of the file
			return sent, true, nil
		}
		if err := p.end(k > 0, err); err != nil {
			return sent, sent > 0 || !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL), err
		}
	}
	return sent, true, nil
}

// progress bounds the waits of one write. Apache does not read a reply before it has sent
// the whole request. So a peer that takes nothing for stallTime may be waiting for the
// server to take its input; that input is then dropped.
type progress struct {
	c     *Conn
	since time.Time // time of the last progress; zero before the first wait
	queue int       // bytes in the send queue at that time
}

// begin sets the deadline of the next wait.
func (p *progress) begin() error {
	c := p.c
	if c.ownWrite.Load() {
		return nil
	}
	if p.since.IsZero() {
		p.since, p.queue = time.Now(), c.queued()
	}
	end := time.Now().Add(stallTime)
	if limit := p.since.Add(c.timeouts.Write); c.timeouts.Write > 0 && limit.Before(end) {
		end = limit
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ownWrite.Load() {
		return nil
	}
	return c.s.setWriteDeadline(end)
}

// end decides after a wait whether the write fails; nil means to go on.
func (p *progress) end(some bool, err error) error {
	c := p.c
	isTimeout := errors.Is(err, os.ErrDeadlineExceeded) && !c.ownWrite.Load()
	switch {
	case err == nil || isTimeout && some:
		p.since = time.Time{}
		return nil
	case !isTimeout:
		return err
	}
	if p.isStalled() {
		return err
	}
	c.dropInput()
	return nil
}

// isStalled reports whether the peer has taken nothing for Timeouts.Write.
func (p *progress) isStalled() bool {
	now, queue := time.Now(), p.c.queued()
	if queue < p.queue {
		p.since, p.queue = now, queue
		return false
	}
	limit := p.c.timeouts.Write
	return limit > 0 && now.Sub(p.since) >= limit
}

// dropInput drops the peer's input from now on. It does nothing while another goroutine
// reads, or if no input has arrived.
func (c *Conn) dropInput() {
	if !c.reading.TryLock() {
		return
	}
	defer c.reading.Unlock()
	if c.Empty() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped != nil || c.ending || c.s.setReadDeadline(time.Time{}) != nil {
		return
	}
	c.dropped = make(chan struct{})
	go func() {
		defer close(c.dropped)
		for left := lingerBytes; left > 0; {
			if c.s.receive(func(b []byte) { left -= len(b) }) != nil {
				return
			}
		}
	}()
}

func (c *Conn) isDropped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped != nil
}

// end stops the caller from setting deadlines. It reports whether this is the first call.
func (c *Conn) end() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.ending = true }()
	return !c.ending
}

// IsTaken reports whether Close loses nothing of what was written. On Linux it reports
// false while a TCP peer has not taken all of it: the kernel soon gives up on a closed
// connection whose peer reads nothing for minutes. Elsewhere that is not known, and IsTaken
// reports true.
func (c *Conn) IsTaken() bool {
	return c.queued() == 0 || c.s.localAddr().Network() == "unix"
}

// Linger shuts down the writing side and drops what the peer still sends, within bounds;
// Close must follow. In that order the whole reply arrives. Closing a connection with
// unread input would reset it, and the peer would lose the part of the reply that it has
// not read. While the peer has not taken all that was written, Timeouts.Write is the only
// bound.
func (c *Conn) Linger() {
	c.end()
	if c.s.closeWrite() != nil {
		return
	}
	p := progress{c: c, since: time.Now(), queue: c.queued()}
	last := time.Now().Add(lingerTime)
	for left := lingerBytes; left > 0; {
		wait := time.Now().Add(lingerWait)
		if last.Before(wait) {
			wait = last
		}
		if c.s.setReadDeadline(wait) != nil {
			return
		}
		err := c.s.receive(func(b []byte) { left -= len(b) })
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && !c.IsTaken() && !p.isStalled():
			last = time.Now().Add(lingerTime)
		default:
			return
		}
	}
}

// Abort closes the connection so that the peer can't mistake what it has for a whole
// reply. It resets TCP. A unix socket has no reset: its peer sees an error after the data
// only if it has sent input that was not read, and the end of input otherwise. A TLS
// connection is closed without its closing alert. After Linger, Abort is the same as Close.
func (c *Conn) Abort() {
	if c.end() {
		c.s.abort()
	} else {
		_ = c.s.close()
	}
}

// Close closes the connection. Calls in progress fail. It is idempotent.
func (c *Conn) Close() error { return c.s.close() }

// Detach gives up the connection: the caller owns the net.Conn and must close it. input is
// what ReadAhead took of it. Detach ends a Read in progress; afterwards c is closed.
func (c *Conn) Detach() (conn net.Conn, input []byte, err error) {
	c.end()
	_ = c.s.setReadDeadline(longAgo)
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.isDropped() {
		<-c.dropped
	}
	conn, err = c.s.detach()
	return conn, c.ahead, err
}

// LocalAddr returns the address that the peer connected to.
func (c *Conn) LocalAddr() net.Addr { return c.s.localAddr() }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.s.remoteAddr() }

// longAgo is a deadline in the past.
var longAgo = time.Unix(1, 0)

// Deadline returns the end of a wait of d that begins now; zero or a negative d is no limit.
func Deadline(timeout time.Duration) time.Time {
	if timeout <= 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// NetConn returns c as a net.Conn, for its addresses and its socket options.
func (c *Conn) NetConn() net.Conn { return c.s.netConn(c) }
