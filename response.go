package scgi

// response.go is the reply: net/http's ResponseWriter over CGI's response syntax (RFC
// 3875 §6). The reply is well-formed whatever the handler writes, and one that fits the
// buffer is sent in one write with its Content-Length.

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"example.com/scgi/internal/socket"
)

// scratchSize takes a usual header and the 8 KiB of body that nginx and Apache
// send with it.
const scratchSize = 16 << 10

// scratch holds the buffers in which replies are gathered. Callers never see a
// slice of them.
var scratch = sync.Pool{New: func() any { return new([scratchSize]byte) }}

// headGap is room for the end of the head, which is known when the reply is
// sent: Content-Type, Content-Length and the empty line.
const headGap = 128

// Values of response.length without a number of bytes.
const (
	lengthUnknown = -1
	lengthOmitted = -2 // the handler asked for no Content-Length
)

var errShortReply = errors.New("the handler wrote less than the Content-Length it declared")

// response is an http.ResponseWriter with every method of net/http's own:
// Flusher, Hijacker, CloseNotifier, io.ReaderFrom, io.StringWriter and the
// deadlines of http.ResponseController. Its methods are safe for concurrent
// use; the header map is not.
type response struct {
	x      *exchange
	isHead bool
	sent   atomic.Bool // a first byte may have left; see begin

	mu     sync.Mutex
	header http.Header
	store  *[scratchSize]byte // the array that buf starts in
	buf    []byte             // the head, headGap, the body so far; once the head is sent, the body
	head   int                // length of the head in buf
	length int64              // declared or known Content-Length, or lengthUnknown or lengthOmitted
	wrote  int64              // body bytes
	unsent int64              // how many of wrote the peer did not get
	status int                // zero: not decided
	err    error              // of the first failed send
	gone   chan bool          // CloseNotify's, nil until asked

	plain    bool // behind HTTPHandler: a Location alone is no redirect
	raw      bool // a ProduceFunc's: no head
	sniff    bool // the Content-Type is to be detected
	over     bool // a write was refused with ErrContentLength
	headSent bool
	finished bool
	hijacked bool
}

// responseOf returns the Server's own writer below w's wrappers, or nil.
func responseOf(w http.ResponseWriter) *response {
	for {
		switch t := w.(type) {
		case *response:
			return t
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
}

func (w *response) Header() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// open gets the buffer.
func (w *response) open() {
	if w.store == nil {
		w.store = scratch.Get().(*[scratchSize]byte)
		w.buf = w.store[:0]
	}
}

// WriteString is Write without a copy of p, which no writer may change
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
		w.keepToSniff(p)
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

// keepToSniff buffers the beginning of the body that a reply to HEAD does not
// send.
func (w *response) keepToSniff(p []byte) {
	if w.sniff && !w.headSent {
		have := len(w.buf) - w.head - headGap
		w.buf = append(w.buf, p[:min(len(p), sniffLen-have)]...)
	}
}

// admit counts n more bytes of body, or returns why they can't be written. As in
// net/http, ErrContentLength is final: a body with a hole in it must not pass for
// whole.
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
	case w.over || w.length >= 0 && n > w.length-w.wrote:
		w.over = true
		return http.ErrContentLength
	}
	w.wrote += n
	return nil
}

// send sends the buffer and then more.
func (w *response) send(more []byte) error {
	out, body := w.buf, w.gathered()+len(more)
	if w.status != 0 && !w.headSent {
		out = w.complete(more)
		w.headSent = true
	}
	w.buf, w.head = w.buf[:0], 0
	if len(out)+len(more) == 0 || w.err != nil {
		return w.err
	}
	sent := 0
	if w.err = w.begin(); w.err == nil {
		sent, w.err = w.x.conn.Write(out, more)
	}
	if w.err != nil {
		w.unsent = int64(min(body, len(out)+len(more)-sent))
		w.x.ctx.end() // the peer is gone
	}
	return w.err
}

// gathered returns the number of body bytes in the buffer.
func (w *response) gathered() int {
	if w.status != 0 && !w.headSent {
		return len(w.buf) - w.head - headGap
	}
	return len(w.buf)
}

// begin is called before each byte that is sent. It fails if the server has
// abandoned the handler. The order matters: begin sets sent and then reads state,
// abandon sets state and then reads sent, so that one of them sees the other and
// takeOver never waits for a peer.
func (w *response) begin() error {
	w.sent.Store(true)
	if w.x.state.Load() == abandoned {
		return net.ErrClosed
	}
	return nil
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
	if err := w.begin(); err != nil {
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

// finish sends the rest of a handler's reply. It returns errShortReply, and
// sends nothing, if the body is shorter than its Content-Length.
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
	if !w.raw && !w.headSent && w.length == lengthUnknown && bodyAllowed(w.status) && (!w.isHead || w.wrote > 0) {
		w.length = w.wrote
	}
	err := w.send(nil)
	w.close()
	return err
}

// takeOver reports whether nothing was sent. Then the handler's writes fail from
// now on, and the server can reply. It does not wait for a handler that hangs in
// a write.
func (w *response) takeOver() bool {
	if w.sent.Load() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent.Load() || w.hijacked {
		return false
	}
	w.close()
	return true
}

// replyError sends the server's own reply after takeOver.
func (w *response) replyError(status int, text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent.Store(true)
	w.status, w.wrote, w.unsent, w.length, w.raw = status, int64(len(text)+1), 0, lengthUnknown, false
	_, w.err = w.x.conn.Write([]byte(errorReply(status, text)), nil)
	return w.err
}

// summary returns the reply's row of the access log; cut reports that it was not
// sent whole.
func (w *response) summary() (status int, sent int64, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent = w.wrote - w.unsent
	switch {
	case w.isHead:
		sent = 0
	case w.store != nil: // the reply broke off
		sent -= int64(w.gathered())
	}
	if w.raw {
		return 0, sent, w.err != nil
	}
	return w.status, sent, w.err != nil || w.length > w.wrote && !w.isHead && bodyAllowed(w.status)
}

// close ends the reply: later writes fail.
func (w *response) close() {
	w.finished = true
	if w.store != nil {
		scratch.Put(w.store)
		w.store, w.buf = nil, nil
	}
}

// rawOutput takes the reply out of CGI's syntax: each byte written is sent as it
// is.
func (w *response) rawOutput() io.Writer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status != 0 {
		panic("scgi: ProduceFunc after WriteHeader")
	}
	w.raw, w.isHead, w.length = true, false, lengthUnknown
	return w
}

// Hijack hands the connection over to the handler, with the input it has not
// read, the rest of the body included. The handler holds no worker from then on.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.hijacked:
		return nil, nil, http.ErrHijacked
	case w.finished:
		return nil, nil, net.ErrClosed
	}
	if err := w.send(nil); err != nil {
		return nil, nil, err
	}
	if !w.x.state.CompareAndSwap(running, hijacked) {
		return nil, nil, net.ErrClosed
	}
	w.hijacked = true
	w.close()
	return w.x.hijack()
}

// CloseNotify implements http.CloseNotifier, which is deprecated but which
// frameworks still assert. Its channel receives true when the request's context
// is cancelled before the handler has returned.
func (w *response) CloseNotify() <-chan bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone == nil {
		gone := make(chan bool, 1)
		w.gone = gone
		context.AfterFunc(&w.x.ctx, func() {
			if w.x.state.Load() == running {
				gone <- true
			}
		})
	}
	return w.gone
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
