package scgi

// response.go owns the reply: net/http's ResponseWriter over CGI's response
// syntax (RFC 3875 §6). Rule: what leaves is well-formed whatever the handler
// wrote, and a reply that fits the buffer leaves in one write with its
// Content-Length.

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"example.com/scgi/internal/socket"
)

// headGap is room for what is known of a reply only when it is sent: its
// Content-Type, its Content-Length and the empty line.
const headGap = 128

var errShortReply = errors.New("the handler wrote less than the Content-Length it declared")

// response is an http.ResponseWriter, http.Flusher, http.Hijacker,
// io.ReaderFrom and io.StringWriter, with the deadlines of
// http.ResponseController. Its methods are safe for concurrent use; the header
// map is not.
type response struct {
	x      *exchange
	isHead bool

	mu     sync.Mutex
	header http.Header
	store  *[scratchSize]byte // what buf begins as
	buf    []byte             // the head, headGap, the body so far; once the head is sent, the body
	head   int                // length of the head in buf
	length int64              // declared or known Content-Length, or -1
	wrote  int64              // body bytes
	status int                // zero: not decided
	err    error              // of the first failed send

	raw      bool // a ProduceFunc's: no head
	sniff    bool // the Content-Type is to be found out
	headSent bool
	sent     bool // any byte at all
	finished bool
	hijacked bool
}

func (w *response) Header() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader decides the status, and with it the header. As CGI has no
// informational responses, only 101 of 1xx is taken: for a handler that hijacks
// the connection.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("scgi: invalid WriteHeader code " + strconv.Itoa(status))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.hijacked || w.finished || w.raw || w.status != 0:
		w.x.conn.srv.logger().Warn("scgi: superfluous WriteHeader call", "status", status, "uri", w.x.Env.Get("REQUEST_URI"))
	case status >= 200 || status == http.StatusSwitchingProtocols:
		w.decide(status)
	}
}

// decide fixes the status and writes the head into the buffer.
func (w *response) decide(status int) {
	w.status, w.length = status, -1
	w.open()
	var typed bool
	w.buf, typed = w.appendHead(w.buf)
	w.sniff = !typed && !w.isHead && bodyAllowed(status)
	w.head = len(w.buf)
	w.buf = slices.Grow(w.buf, headGap)[:w.head+headGap]
}

// open gets the buffer.
func (w *response) open() {
	if w.store == nil {
		w.store = scratch.Get().(*[scratchSize]byte)
		w.buf = w.store[:0]
	}
}

// decideByDefault is for a handler that did not: a redirect if there is a
// Location (RFC 3875 §6.2.3), else 200.
func (w *response) decideByDefault() {
	switch {
	case w.status != 0 || w.raw:
	case w.header.Get("Location") != "":
		w.decide(http.StatusFound)
	default:
		w.decide(http.StatusOK)
	}
}

// WriteString is Write without a copy of p: what writes may not change it
// (io.Writer).
func (w *response) WriteString(p string) (int, error) {
	return w.Write(unsafe.Slice(unsafe.StringData(p), len(p)))
}

func (w *response) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.admit(int64(len(p))); err != nil {
		return 0, err
	}
	if w.isHead {
		return len(p), nil
	}
	if len(p) <= cap(w.buf)-len(w.buf) {
		w.buf = append(w.buf, p...)
		return len(p), nil
	}
	if err := w.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// admit counts n more bytes of body, if they may be.
func (w *response) admit(n int64) error {
	switch {
	case w.hijacked:
		return http.ErrHijacked
	case w.finished:
		return net.ErrClosed
	case w.err != nil:
		return w.err
	}
	if w.raw {
		w.open()
		w.wrote += n
		return nil
	}
	w.decideByDefault()
	switch {
	case n == 0:
	case !bodyAllowed(w.status):
		return http.ErrBodyNotAllowed
	case w.length >= 0 && w.wrote+n > w.length:
		return http.ErrContentLength
	}
	w.wrote += n
	return nil
}

// send sends the buffer and then more.
func (w *response) send(more []byte) error {
	out := w.buf
	if w.status != 0 && !w.headSent {
		out = w.complete(more)
		w.headSent = true
	}
	w.buf, w.head = w.buf[:0], 0
	if len(out)+len(more) == 0 || w.err != nil {
		return w.err
	}
	w.sent = true
	if _, w.err = w.x.conn.Write(out, more); w.err != nil {
		w.x.ctx.end() // the peer is gone
	}
	return w.err
}

// ReadFrom sends a file without copying it through the program; what fits the
// buffer is gathered there first.
func (w *response) ReadFrom(src io.Reader) (n int64, err error) {
	buf := scratch.Get().(*[scratchSize]byte)
	defer scratch.Put(buf)
	dst := struct{ io.Writer }{w} // without ReadFrom
	n, err = io.CopyBuffer(dst, io.LimitReader(src, scratchSize/2), buf[:])
	if err != nil || n < scratchSize/2 {
		return n, err
	}
	k, err := w.readFile(src)
	n += k
	if err != nil {
		return n, err
	}
	k, err = io.CopyBuffer(dst, struct{ io.Reader }{src}, buf[:])
	return n + k, err
}

// readFile sends what it can of src by sendfile: nothing, if it is no file.
func (w *response) readFile(src io.Reader) (n int64, err error) {
	most := int64(-1)
	limited, ok := src.(*io.LimitedReader)
	if ok {
		src, most = limited.R, limited.N
	}
	f, ok := src.(socket.File)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !ok || most == 0 || w.isHead || w.admit(0) != nil || !w.raw && !bodyAllowed(w.status) {
		return 0, nil
	}
	if left := w.length - w.wrote; !w.raw && w.length >= 0 && (most < 0 || most > left) {
		most = left
	}
	if err := w.send(nil); err != nil {
		return 0, err
	}
	n, ok, err = w.x.conn.SendFile(f, most)
	w.wrote += n
	if limited != nil {
		limited.N -= n
	}
	if ok && err != nil {
		w.err = err
		w.x.ctx.end()
		return n, err
	}
	return n, nil
}

// Flush sends what there is, the header included.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *response) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.admit(0); err != nil {
		return err
	}
	return w.send(nil)
}

// finish sends the rest of a handler's reply. errShortReply means that it is
// not whole.
func (w *response) finish() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hijacked || w.finished {
		return nil
	}
	w.decideByDefault()
	if w.length >= 0 && w.wrote < w.length && !w.isHead && bodyAllowed(w.status) && w.err == nil {
		w.x.conn.srv.logger().Error("scgi: "+errShortReply.Error(), "declared", w.length, "wrote", w.wrote, "uri", w.x.Env.Get("REQUEST_URI"))
		return errShortReply
	}
	if !w.raw && !w.sent && w.length < 0 && bodyAllowed(w.status) && (!w.isHead || w.wrote > 0) {
		w.length = w.wrote
	}
	err := w.send(nil)
	w.close()
	return err
}

// takeOver ends the handler's part in the reply. It reports true if nothing was
// sent, so that the server can still reply. It does not wait for a handler that
// hangs in a write.
func (w *response) takeOver() bool {
	if !w.mu.TryLock() {
		return false
	}
	defer w.mu.Unlock()
	w.close()
	return !w.sent && !w.hijacked
}

// replyError sends the server's own reply after takeOver.
func (w *response) replyError(status int, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status, w.wrote, w.sent, w.raw = status, int64(len(text)+1), true, false
	_, w.err = w.x.conn.Write([]byte(errorReply(status, text)), nil)
}

// summary is what the access log tells of the reply: cut means that it was not
// sent whole.
func (w *response) summary() (status int, wrote int64, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.raw {
		return 0, w.wrote, w.err != nil
	}
	return w.status, w.wrote, w.err != nil || w.length > w.wrote && !w.isHead && bodyAllowed(w.status)
}

// close ends the reply: later writes fail.
func (w *response) close() {
	w.finished = true
	if w.store != nil {
		scratch.Put(w.store)
		w.store, w.buf = nil, nil
	}
}

// failed reports that the peer did not take the reply.
func (w *response) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err != nil
}

func (w *response) isHijacked() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hijacked
}

// rawOutput takes the reply out of CGI's syntax: what is written is sent.
func (w *response) rawOutput() io.Writer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status != 0 {
		panic("scgi: ProduceFunc after WriteHeader")
	}
	w.raw, w.isHead, w.length = true, false, -1
	return w
}

// Hijack hands the connection over to the handler, with what it has not read
// of its input. It holds no worker from then on.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.hijacked:
		return nil, nil, http.ErrHijacked
	case w.finished:
		return nil, nil, net.ErrClosed
	case w.status != 0 || w.raw:
		if err := w.send(nil); err != nil {
			return nil, nil, err
		}
	}
	w.hijacked = true
	w.close()
	return w.x.hijack()
}

func (w *response) SetReadDeadline(t time.Time) error {
	return w.x.conn.SetReadDeadline(t)
}

func (w *response) SetWriteDeadline(t time.Time) error {
	return w.x.conn.SetWriteDeadline(t)
}

// EnableFullDuplex has nothing to enable: SCGI itself is full duplex. Web
// servers are less so: see Handler.
func (w *response) EnableFullDuplex() error { return nil }
