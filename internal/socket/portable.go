package socket

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// sendChunk is the most that one write sends, so that a write that times out still shows
// progress.
const sendChunk = 64 << 10

// Waiting for a net.Conn needs a buffer, so that buffer is small.
const smallSize = 2 << 10

var small = sync.Pool{New: func() any { return new([smallSize]byte) }}

// portable is a stream over a net.Conn.
type portable struct {
	net.Conn
	detached atomic.Bool
}

func (p *portable) tryRead([]byte) (int, error)            { return 0, syscall.EAGAIN }
func (p *portable) tryWrite(_, _ []byte) (int, error)      { return 0, syscall.EAGAIN }
func (p *portable) trySendFile(File, int64) (int64, error) { return 0, syscall.EAGAIN }
func (p *portable) read(b []byte) (int, error)             { return p.Conn.Read(b) }
func (p *portable) setReadDeadline(t time.Time) error      { return p.Conn.SetReadDeadline(t) }
func (p *portable) setWriteDeadline(t time.Time) error     { return p.Conn.SetWriteDeadline(t) }
func (p *portable) localAddr() net.Addr                    { return p.Conn.LocalAddr() }
func (p *portable) netConn(*Conn) net.Conn                 { return p.Conn }
func (p *portable) remoteAddr() net.Addr                   { return p.Conn.RemoteAddr() }

func (p *portable) write(head, body []byte) (int, error) {
	body = body[:min(len(body), sendChunk)]
	switch {
	case len(head) == 0:
		return p.Conn.Write(body)
	case len(body) == 0:
		return p.Conn.Write(head)
	}
	n, err := (&net.Buffers{head, body}).WriteTo(p.Conn)
	return int(n), err
}

// sendFile leaves files to package net's connections.
func (p *portable) sendFile(f File, n int64) (int64, error) {
	dst, ok := p.Conn.(io.ReaderFrom)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	return dst.ReadFrom(&io.LimitedReader{R: f, N: min(n, sendChunk)})
}

func (p *portable) receive(use func([]byte)) error {
	buf := small.Get().(*[smallSize]byte)
	defer small.Put(buf)
	n, err := p.Conn.Read(buf[:])
	use(buf[:n])
	return err
}

func (p *portable) control(f func(fd int)) error {
	c, ok := p.Conn.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}

func (p *portable) closeWrite() error {
	c, ok := p.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return c.CloseWrite()
}

func (p *portable) close() error {
	if p.detached.Load() {
		return net.ErrClosed
	}
	return p.Conn.Close()
}

// abort closes the connection under TLS first: closing TLS would send a closing alert.
func (p *portable) abort() {
	if p.detached.Load() {
		return
	}
	under := p.Conn
	for {
		c, ok := under.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		under = c.NetConn()
	}
	if t, ok := under.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	_ = under.Close()
	_ = p.Conn.Close()
}

func (p *portable) detach() (net.Conn, error) {
	p.detached.Store(true)
	return p.Conn, p.Conn.SetDeadline(time.Time{})
}
