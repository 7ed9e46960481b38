package scgi

// conn.go owns one accepted connection: its bytes in and out under the
// server's timeouts, and how it ends. Rule: every wait is bounded, and an end
// never takes back a reply that was sent. It knows nothing of what the bytes
// mean.

import (
	"context"
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
	// scratchSize takes a usual header and the 8 KiB of body that nginx and
	// Apache send with it.
	scratchSize = 16 << 10

	// writeChunk is what one wait may be spent on, where a write can't tell
	// of its progress.
	writeChunk = 64 << 10

	// sendfileChunk is what the kernel is asked to send at once.
	sendfileChunk = 4 << 20

	// stallTime without progress of a reply is when unread input is taken for
	// the cause.
	stallTime = time.Second

	// A connection with input left lingers until its peer ends it, within
	// nginx's lingering_timeout and lingering_time.
	lingerWait  = 5 * time.Second
	lingerTime  = 30 * time.Second
	lingerBytes = 256 << 20
)

// scratch holds the buffers that input is read into and replies are gathered
// in; nothing that is handed out points into them.
var scratch = sync.Pool{New: func() any { return new([scratchSize]byte) }}

// small holds the buffers that have to be held while waiting, since a net.Conn
// can't be waited for without one.
const smallSize = 2 << 10

var small = sync.Pool{New: func() any { return new([smallSize]byte) }}

type conn struct {
	srv  *Server
	rwc  net.Conn // &fd, or what a net.Listener gave
	fd   fdConn
	base context.Context
	x    atomic.Pointer[exchange] // nil until the header is read

	prev, next *conn // in srv.conns

	ownRead, ownWrite atomic.Bool // the handler has set a deadline of its own
}

// tryRead reads what is there. Without a way to know, it answers EAGAIN.
func (c *conn) tryRead(p []byte) (int, error) {
	if c.rwc != &c.fd {
		return 0, syscall.EAGAIN
	}
	return c.fd.tryRead(p)
}

func (c *conn) tryWrite(head, body []byte) (int, error) {
	if c.rwc != &c.fd {
		return 0, syscall.EAGAIN
	}
	return c.fd.tryWrite(head, body)
}

// Read reads bytes of the body, with ReadTimeout for each wait.
func (c *conn) Read(p []byte) (int, error) {
	if !c.ownRead.Load() {
		if n, err := c.tryRead(p); err != syscall.EAGAIN {
			return n, err
		}
		if err := c.rwc.SetReadDeadline(deadline(c.srv.limits.readTimeout)); err != nil {
			return 0, err
		}
	}
	return c.rwc.Read(p)
}

// write sends head and body, in one system call if the peer takes it, with
// WriteTimeout for each wait.
func (c *conn) write(head, body []byte) error {
	if !c.ownWrite.Load() {
		n, err := c.tryWrite(head, body)
		if err != nil && err != syscall.EAGAIN {
			return err
		}
		body = body[max(n-len(head), 0):]
		head = head[min(n, len(head)):]
	}
	for wait := (writeWait{c: c}); len(head)+len(body) > 0; {
		if err := wait.begin(); err != nil {
			return err
		}
		n, err := writeBoth(c.rwc, head, body[:min(len(body), writeChunk)])
		body = body[max(n-len(head), 0):]
		head = head[min(n, len(head)):]
		if err := wait.end(n, err); err != nil {
			return err
		}
	}
	return nil
}

// writeBoth writes head and body, with one system call if w can.
func writeBoth(w net.Conn, head, body []byte) (int, error) {
	switch {
	case len(head) == 0:
		return w.Write(body)
	case len(body) == 0:
		return w.Write(head)
	}
	n, err := (&net.Buffers{head, body}).WriteTo(w)
	return int(n), err
}

// file is an *os.File, also in the dress that its WriteTo gives it on the way
// from io.Copy.
type file interface {
	io.Reader
	Stat() (os.FileInfo, error)
	SyscallConn() (syscall.RawConn, error)
}

// sendFile sends the next n bytes of f, or all if n is negative, without
// copying them. It reports false if that can't be done with this file, and
// nothing was sent.
func (c *conn) sendFile(f file, n int64) (sent int64, ok bool, err error) {
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, false, nil
	}
	if c.rwc != &c.fd {
		return c.readFile(f, n)
	}
	src, err := f.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	for wait := (writeWait{c: c}); n < 0 || sent < n; {
		if err := wait.begin(); err != nil {
			return sent, true, err
		}
		k, err := c.fd.sendfile(src, int(atMost(sendfileChunk, n, sent)))
		sent += int64(k)
		if err == nil && k == 0 { // the file's end
			return sent, true, nil
		}
		if err := wait.end(k, err); err != nil {
			return sent, sent > 0 || err != syscall.EINVAL && err != syscall.ENOSYS, err
		}
	}
	return sent, true, nil
}

// readFile is sendFile for package net's connections, which do it themselves.
func (c *conn) readFile(f file, n int64) (sent int64, ok bool, err error) {
	dst, ok := c.rwc.(io.ReaderFrom)
	if !ok {
		return 0, false, nil
	}
	for wait := (writeWait{c: c}); n < 0 || sent < n; {
		if err := wait.begin(); err != nil {
			return sent, true, err
		}
		most := atMost(writeChunk, n, sent)
		k, err := dst.ReadFrom(&io.LimitedReader{R: f, N: most})
		sent += k
		if err == nil && k < most { // the file's end
			return sent, true, nil
		}
		if err := wait.end(int(k), err); err != nil {
			return sent, true, err
		}
	}
	return sent, true, nil
}

// atMost is the size of the next chunk of n bytes; negative is all.
func atMost(chunk, n, sent int64) int64 {
	if n < 0 {
		return chunk
	}
	return min(chunk, n-sent)
}

// writeWait bounds the waits of one write. Apache does not read a reply before
// it has sent the whole request, so where a handler replies at length without
// reading the body, both would wait for each other: after stallTime without
// progress the rest of the body is taken from the peer and dropped.
type writeWait struct {
	c       *conn
	stalled bool
}

// begin sets the deadline of the next wait.
func (w *writeWait) begin() error {
	c, timeout := w.c, w.c.srv.limits.writeTimeout
	switch {
	case c.ownWrite.Load():
		return nil
	case w.stalled || timeout >= 0 && timeout <= stallTime:
		return c.rwc.SetWriteDeadline(deadline(timeout))
	}
	return c.rwc.SetWriteDeadline(deadline(stallTime))
}

// end judges a wait in which n bytes were sent; nil means to go on.
func (w *writeWait) end(n int, err error) error {
	isTimeout := errors.Is(err, os.ErrDeadlineExceeded) && !w.c.ownWrite.Load()
	switch {
	case err == nil || isTimeout && n > 0:
		w.stalled = false
		return nil
	case isTimeout && !w.stalled:
		w.stalled = true
		w.c.takeInput()
		return nil
	}
	return err
}

// takeInput drops what the peer still sends of a request, unless the handler is
// reading it.
func (c *conn) takeInput() {
	x := c.x.Load()
	if x == nil || x.body.left.Load() == 0 || !x.body.mu.TryLock() {
		return
	}
	defer x.body.mu.Unlock()
	if !x.body.closed.Swap(true) {
		go c.discard()
	}
}

// discard takes input until the connection ends, or lingerBytes have come.
func (c *conn) discard() {
	_ = c.rwc.SetReadDeadline(time.Time{})
	for left := lingerBytes; left > 0; {
		if c.receive(func(b []byte) { left -= len(b) }) != nil {
			return
		}
	}
}

// receive waits for input and gives it to use, which must not keep it.
func (c *conn) receive(use func([]byte)) error {
	if c.rwc == &c.fd {
		return c.fd.readReady(use)
	}
	buf := small.Get().(*[smallSize]byte)
	defer small.Put(buf)
	n, err := c.rwc.Read(buf[:])
	use(buf[:n])
	return err
}

// finish ends the connection after a reply. If the peer may still send, or has
// sent what was not read, closing at once would reset the connection and take
// the reply with it.
func (c *conn) finish(allRead bool) {
	if allRead {
		c.close()
		return
	}
	go c.linger()
}

// empty reports that the kernel is known to hold no input.
func (c *conn) empty() bool {
	if c.rwc != &c.fd {
		return noInput(c.rwc)
	}
	var one [1]byte
	n, err := c.fd.tryRead(one[:])
	return n == 0 && (err == io.EOF || err == syscall.EAGAIN)
}

// linger shuts down the writing side, takes what the peer still sends, within
// bounds, and closes: the order in which a reply arrives whatever the web
// server is doing.
func (c *conn) linger() {
	defer c.close()
	w, ok := c.rwc.(interface{ CloseWrite() error })
	if !ok || w.CloseWrite() != nil {
		return
	}
	end := time.Now().Add(lingerTime)
	for left := lingerBytes; left > 0; {
		wait := time.Now().Add(lingerWait)
		if end.Before(wait) {
			wait = end
		}
		if c.rwc.SetReadDeadline(wait) != nil {
			return
		}
		if c.receive(func(b []byte) { left -= len(b) }) != nil {
			return
		}
	}
}

// abort cuts the connection so that the web server does not take what it has
// for a whole reply. On a unix socket there is no reset: only unread input, or
// a Content-Length that is not met, tells the peer.
func (c *conn) abort() {
	if t, ok := c.rwc.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	c.close()
}

func (c *conn) close() {
	_ = c.rwc.Close()
	c.srv.untrack(c)
}

// deadline is the end of a wait that begins now.
func deadline(timeout time.Duration) time.Time {
	if timeout < 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}
