// Package socket holds accepted stream connections: how they are accepted, how
// long they are waited for, how a watch over their peers works, and how they
// end. It knows the bytes of neither direction.
//
// On Linux a connection of a listener that package listen opened is a
// descriptor that stays out of the runtime's poller until something has to wait
// for it. A web server sends its request as it connects, and takes a page at
// once, so most connections never wait; that saves a fifth of an exchange over
// TCP. Every other connection is a net.Conn and keeps to its methods.
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

	// stallTime is how long a write waits without progress before it looks
	// whether unread input is the cause.
	stallTime = time.Second

	// Linger ends after nginx's lingering_timeout without input, and at the
	// latest after its lingering_time.
	lingerWait  = 5 * time.Second
	lingerTime  = 30 * time.Second
	lingerBytes = 256 << 20
)

// ErrDropped is returned by Read when input was thrown away because the peer did
// not take the reply before it had sent that input.
var ErrDropped = errors.New("socket: the input was dropped")

// Timeouts bound single waits; zero and negative are no limit. A Conn keeps the
// pointer, so the connections of a server share one.
type Timeouts struct {
	// Read bounds one wait of Conn.Read for input.
	Read time.Duration

	// Write bounds the time in which the peer takes nothing of what is sent.
	//
	// On Linux the peer's own progress counts, as the kernel reports it
	// (SIOCOUTQ): on TCP what its kernel has acknowledged, which for a reader
	// that is slow advances by its window, up to 64 KiB at a time over the
	// loopback interface; on a unix socket what it has read, up to 36 KiB at a
	// time. Elsewhere progress is what the local kernel accepts, and it may
	// accept nothing until a good part of its send buffer is free.
	Write time.Duration
}

// stream is what a Conn needs of its connection. The try methods never wait;
// they answer syscall.EAGAIN instead.
type stream interface {
	tryRead(p []byte) (int, error)
	tryWrite(head, body []byte) (int, error)
	trySendFile(f File, n int64) (int64, error)

	// These wait for the first byte, or for the deadline.
	read(p []byte) (int, error)
	write(head, body []byte) (int, error)
	sendFile(f File, n int64) (int64, error)

	// receive is read into a buffer that is not held while waiting.
	receive(use func([]byte)) error

	setReadDeadline(t time.Time) error
	setWriteDeadline(t time.Time) error

	// control calls f with the descriptor, which stays open meanwhile. It
	// fails without a descriptor.
	control(f func(fd int)) error

	closeWrite() error
	abort()
	close() error
	detach() (net.Conn, error)
	netConn(c *Conn) net.Conn // of the same connection

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

	ownRead, ownWrite atomic.Bool // SetReadDeadline, SetWriteDeadline was called

	mu      sync.Mutex    // over the setting of deadlines
	ending  bool          // deadlines are not the caller's any more
	dropped chan struct{} // not nil: input is dropped; closed when that has ended

	reading sync.Mutex // held by the one who reads
	ahead   []byte     // input that ReadAhead took
}

// TryRead reads the input that has arrived. It never waits: if there is none, or
// it can't be known, it fails with syscall.EAGAIN.
func (c *Conn) TryRead(p []byte) (int, error) { return c.s.tryRead(p) }

// Read reads at least one byte, and waits for it for at most Timeouts.Read, or
// until the deadline of SetReadDeadline.
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

// Receive waits for input for as long as LimitRead allows, and gives it to use,
// which must not keep it. Its buffer is held only while input is there, so a
// connection that waits costs none; a net.Conn's is small.
func (c *Conn) Receive(use func([]byte)) error { return c.s.receive(use) }

// LimitRead bounds the server's own reads from now on, all of them together; zero
// and negative are no limit.
func (c *Conn) LimitRead(timeout time.Duration) error {
	return c.s.setReadDeadline(Deadline(timeout))
}

// SetReadDeadline sets a deadline that takes the place of Timeouts.Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setOwn(&c.ownRead, c.s.setReadDeadline, t)
}

// SetWriteDeadline sets a deadline that takes the place of Timeouts.Write.
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

// Write sends head and then body, in one system call if the peer takes it, and
// returns the number of bytes of both that were sent.
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

// A File is an *os.File, or the wrapper that its WriteTo puts around it on the
// way from io.Copy.
type File interface {
	io.Reader
	Stat() (os.FileInfo, error)
	SyscallConn() (syscall.RawConn, error)
}

// SendFile sends the next n bytes of f, or all if n is negative, without copying
// them through the program. It reports false if it can't with this file, and has
// sent nothing.
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

// progress bounds the waits of one write. Apache does not read a reply before it
// has sent the whole request, so a peer that takes nothing for stallTime may be
// waiting for its own input to be taken: then it is dropped.
type progress struct {
	c     *Conn
	since time.Time // of the last progress; zero: not waited yet
	queue int       // bytes in the send queue then
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

// end judges a wait; nil means to go on.
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

// dropInput drops what the peer still sends, from now on, unless someone is
// reading it or nothing has come.
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

// end takes the deadlines from the caller. It reports whether it is the first to
// do so.
func (c *Conn) end() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.ending = true }()
	return !c.ending
}

// IsTaken reports whether Close loses nothing of what was written. On Linux it does
// not if a TCP peer has no room for the rest: the kernel soon gives up on a closed
// connection whose peer stops reading for minutes. Elsewhere that is not known.
func (c *Conn) IsTaken() bool {
	return c.s.localAddr().Network() == "unix" || c.queued() == 0
}

// Linger shuts down the writing side and takes what the peer still sends, within
// bounds; Close is to follow. A reply arrives in that order whatever the peer is
// doing. To close a connection whose input was not read resets it, and the peer
// loses what it has not read of the reply. While the peer has not taken all that was
// written, Timeouts.Write is the only bound.
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

// Abort closes the connection so that the peer can't take what it has for a
// whole reply: TCP is reset. A unix socket has no reset: its peer sees an error
// after the data only if it has sent input that was not read, and otherwise the
// end of the input. A TLS connection is closed without its closing alert.
// After Linger it is Close.
func (c *Conn) Abort() {
	if c.end() {
		c.s.abort()
	} else {
		_ = c.s.close()
	}
}

// Close closes the connection. Calls under way fail. It is idempotent.
func (c *Conn) Close() error { return c.s.close() }

// Detach gives the connection up: the net.Conn is the caller's to close, and
// input is what ReadAhead had taken of it. It ends a Read that is under way.
// Afterwards c is closed.
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

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// Deadline returns the time at which a wait that begins now ends; zero and negative
// are no limit.
func Deadline(timeout time.Duration) time.Time {
	if timeout <= 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// NetConn returns c as a net.Conn, for its addresses and its socket options.
func (c *Conn) NetConn() net.Conn { return c.s.netConn(c) }
