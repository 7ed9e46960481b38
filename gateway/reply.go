package gateway

// reply.go reads the reply: the header block of RFC 3875 §6, as tolerantly as web servers
// read it, and the body. It reports a truncated reply as an error wherever the truncation
// shows, and refuses a header field that a web server would not pass on.

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"example.com/scgi/internal/wire"
)

// maxInterim is the most 1xx replies before the final one, as in net/http's Transport.
const maxInterim = 5

var (
	errReplyHeaderLimit = errors.New("gateway: the reply's header is longer than the limit")
	errReplyInterim     = errors.New("gateway: too many 1xx replies")
	errReplyName        = errors.New("gateway: the reply has a header field whose name is not a token")
	errReplyStatus      = errors.New("gateway: the reply's status is not three digits")
	errReplyLength      = errors.New("gateway: the reply's Content-Length is not one decimal number")
	errReplyEncoding    = errors.New("gateway: the reply has a Transfer-Encoding that is not chunked, or a Content-Length beside it")
)

// readReply reads the reply up to the start of its body.
func (rt *roundTrip) readReply(req *http.Request) (*http.Response, error) {
	for range maxInterim + 1 {
		resp, err := rt.readHeader()
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			resp.Request = req
			return resp, rt.addBody(resp)
		}
	}
	return nil, errReplyInterim
}

func (rt *roundTrip) readHeader() (*http.Response, error) {
	tp := textproto.NewReader(rt.in)
	line, err := readStatusLine(tp)
	if err != nil {
		return nil, rt.headerError(err)
	}
	header, err := tp.ReadMIMEHeader()
	if err != nil {
		return nil, rt.headerError(err)
	}
	for name := range header {
		if !wire.IsToken(name) { // textproto accepts spaces
			return nil, fmt.Errorf("%w: %.64q", errReplyName, name)
		}
	}
	resp := &http.Response{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header(header)}
	resp.Status, err = replyStatus(line, resp.Header)
	if err != nil {
		return nil, err
	}
	resp.StatusCode, _ = strconv.Atoi(resp.Status[:3])
	dropHopByHop(resp)
	return resp, nil
}

// headerError returns the reason why reading the header failed with err. textproto reports a
// truncated line as malformed before it sees the error that truncated it.
func (rt *roundTrip) headerError(err error) error {
	if rt.readErr != nil && rt.in.Buffered() == 0 {
		err = rt.readErr
	}
	switch {
	case err == io.EOF:
		return fmt.Errorf("gateway: the reply ended in its header: %w", io.ErrUnexpectedEOF)
	case errors.As(err, new(textproto.ProtocolError)):
		return fmt.Errorf("gateway: the reply's header: %w", err)
	}
	return err
}

// readStatusLine reads an HTTP status line, which some apps send, if there is one.
func readStatusLine(tp *textproto.Reader) (string, error) {
	if first, err := tp.R.Peek(1); err != nil || first[0] != 'H' {
		return "", nil // ReadMIMEHeader will return the error
	}
	if start, _ := tp.R.Peek(5); string(start) != "HTTP/" {
		return "", nil
	}
	return tp.ReadLine()
}

// replyStatus returns the status from the status line, from the Status field or, without
// either, from the rules of RFC 3875 §6.2. The status begins with three digits. replyStatus
// removes the field.
func replyStatus(line string, header http.Header) (string, error) {
	fields, ok := header["Status"]
	header.Del("Status")
	switch {
	case line != "":
		_, status, _ := strings.Cut(line, " ")
		return parseStatus(status)
	case ok:
		return parseStatus(fields[0])
	case header.Get("Location") != "":
		return parseStatus("302")
	}
	return parseStatus("200")
}

func parseStatus(s string) (string, error) {
	code, reason, _ := strings.Cut(strings.TrimSpace(s), " ")
	n, ok := wire.ParseDecimal(code)
	if !ok || len(code) != 3 || n < 100 || strings.ContainsFunc(reason, unicode.IsControl) {
		return "", fmt.Errorf("%w: %.64q", errReplyStatus, s)
	}
	reason = cmp.Or(strings.TrimSpace(reason), http.StatusText(int(n)))
	return strings.TrimSpace(code + " " + reason), nil
}

// dropHopByHop removes the fields that belong to this one connection. It adds the fields by
// which net/http recognizes an upgrade: web servers add Connection themselves.
func dropHopByHop(resp *http.Response) {
	resp.TransferEncoding = resp.Header["Transfer-Encoding"]
	for name := range resp.Header {
		if wire.IsHopByHop(name) || name == "Connection" {
			delete(resp.Header, name)
		}
	}
	switch {
	case resp.StatusCode != http.StatusSwitchingProtocols:
		resp.Header.Del("Upgrade")
	case resp.Header.Get("Upgrade") != "":
		resp.Header.Set("Connection", "Upgrade")
	}
}

// addBody sets the length and body of resp. If there is no body, it closes the connection.
func (rt *roundTrip) addBody(resp *http.Response) error {
	rt.room = -1
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return rt.addTunnel(resp)
	}
	length, err := replyLength(resp.Header["Content-Length"])
	if err != nil {
		return err
	}
	in := io.Reader(rt.in)
	if encoding := resp.TransferEncoding; encoding != nil {
		if len(encoding) > 1 || !strings.EqualFold(encoding[0], "chunked") || length >= 0 {
			return fmt.Errorf("%w: %.64q", errReplyEncoding, encoding)
		}
		in = httputil.NewChunkedReader(rt.in)
	}
	resp.ContentLength = length
	resp.Body = http.NoBody
	switch {
	case resp.Request.Method == http.MethodHead:
	case resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified:
		resp.ContentLength = 0
	case length != 0:
		resp.Body = &replyBody{rt: rt, in: in, left: length}
		return nil
	}
	rt.end()
	return nil
}

// replyLength returns the Content-Length, or -1 if there is none.
func replyLength(values []string) (int64, error) {
	length := int64(-1)
	for i, value := range values {
		n, ok := wire.ParseDecimal(value)
		if !ok || i > 0 && n != length {
			return 0, fmt.Errorf("%w: %.64q", errReplyLength, values)
		}
		length = n
	}
	return length, nil
}

// replyBody is a reply's body: left bytes of in, or all of in if left is negative. It closes
// the connection after the last byte, so the trailer of a chunked body is never read.
type replyBody struct {
	rt     *roundTrip
	in     io.Reader // rt.in, or a decoder of its chunks
	left   int64
	err    error // the first error that Read returned
	closed atomic.Bool
}

func (b *replyBody) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil || len(p) == 0:
		return 0, b.err
	case b.left > 0:
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err := b.in.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	if b.err = b.outcome(err); b.err != nil {
		b.rt.end()
	}
	return n, b.err
}

// outcome returns the error for a Read in which in returned err.
func (b *replyBody) outcome(err error) error {
	switch {
	case b.left == 0:
		return io.EOF
	case err == io.EOF && b.rt.ctx.Err() != nil: // perhaps cancellation caused the EOF
		return context.Cause(b.rt.ctx)
	case err == nil || err == io.EOF && b.left < 0:
		return err
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case b.closed.Load():
		return http.ErrBodyReadAfterClose
	}
	return b.rt.reason(err)
}

// Close closes the connection, even if the request is still being sent.
func (b *replyBody) Close() error {
	b.closed.Store(true)
	b.rt.end()
	return nil
}

// tunnel is the connection after a 101 reply.
type tunnel struct {
	in *bufio.Reader
	rt *roundTrip
}

func (rt *roundTrip) addTunnel(resp *http.Response) error {
	<-rt.sent
	rt.readTimeout = -1
	_ = rt.conn.SetDeadline(time.Time{})
	resp.Body = &tunnel{rt.in, rt}
	return nil
}

func (t *tunnel) Read(p []byte) (int, error) { return t.in.Read(p) }

func (t *tunnel) Write(p []byte) (int, error) { return t.rt.conn.Write(p) }

// CloseWrite shuts down the writing side, as *net.TCPConn does.
func (t *tunnel) CloseWrite() error {
	if c, ok := t.rt.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (t *tunnel) Close() error {
	t.rt.end()
	return nil
}
