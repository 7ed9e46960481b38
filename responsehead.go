package scgi

// responsehead.go writes the header block of a reply (RFC 3875 §6.3). It always has a
// Status; it has no field that is between the web server and its client, and no byte
// that could end a line or begin another.

import (
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"example.com/scgi/internal/wire"
)

// WriteHeader fixes the status, and with it the header. CGI has no
// informational responses, so of 1xx only 101 counts, for a handler that hijacks
// the connection. As in net/http, a late call is logged whatever its status, and
// a status that is no three digits panics.
func (w *response) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.hijacked || w.finished || w.raw || w.status != 0:
		w.x.conn.srv.logger().Warn("scgi: superfluous WriteHeader call",
			"status", status, "caller", callerOutsideHTTP(), "uri", w.x.Env.Get("REQUEST_URI"))
	case status < 100 || status > 999:
		panic("invalid WriteHeader code " + strconv.Itoa(status)) // net/http's words
	case status >= 200 || status == http.StatusSwitchingProtocols:
		w.decide(status)
	}
}

// callerOutsideHTTP names the code that called its caller, beyond net/http's
// own functions such as http.Error.
func callerOutsideHTTP() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !more || !strings.HasPrefix(f.Function, "net/http.") {
			return fmt.Sprintf("%s (%s:%d)", f.Function, filepath.Base(f.File), f.Line)
		}
	}
}

// decide fixes the status and writes the head into the buffer.
func (w *response) decide(status int) {
	w.status, w.length = status, lengthUnknown
	w.open()
	var typed bool
	w.buf, typed = w.appendHead(w.buf)
	w.sniff = !typed && bodyAllowed(status)
	w.head = len(w.buf)
	w.buf = slices.Grow(w.buf, headGap)[:w.head+headGap]
}

// decideByDefault fixes the status if the handler did not: 200, or 302 if there
// is a Location (RFC 3875 §6.2.3), which net/http's handlers do not expect.
func (w *response) decideByDefault() {
	switch {
	case w.status != 0 || w.raw:
	case !w.plain && w.header.Get("Location") != "":
		w.decide(http.StatusFound)
	default:
		w.decide(http.StatusOK)
	}
}

// appendHead appends the status line and header fields, and takes the
// Content-Length. It reports whether the body is not to be sniffed, by net/http's
// rules.
func (w *response) appendHead(b []byte) (_ []byte, typed bool) {
	b = append(b, "Status: "...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	b = append(b, ' ')
	if text := http.StatusText(w.status); text != "" {
		b = append(b, text...)
	} else {
		b = append(b, "status code "...)
		b = strconv.AppendInt(b, int64(w.status), 10)
	}
	b = append(b, "\r\n"...)
	var few [16]string
	names := few[:0]
	for name := range w.header {
		names = append(names, name)
	}
	slices.Sort(names)
	coded := false
	for _, name := range names {
		switch canonical := http.CanonicalHeaderKey(name); canonical {
		case "Content-Length":
			w.length = w.declared(w.header[name])
			continue
		case "Connection", "Upgrade":
			if w.status != http.StatusSwitchingProtocols {
				continue
			}
		case "Status":
			continue // CGI's own
		case "Transfer-Encoding": // the handler codes the body itself
			coded = firstValue(w.header[name]) != ""
			continue
		case "Content-Encoding":
			typed = typed || firstValue(w.header[name]) != ""
		case "Content-Type":
			typed = true
			if w.status == http.StatusNotModified {
				continue // as net/http, and RFC 9110 §15.4.5
			}
		default:
			if wire.IsHopByHop(canonical) {
				continue // the web server's, to its client
			}
		}
		if !wire.IsToken(name) {
			if !strings.HasPrefix(name, http.TrailerPrefix) {
				w.x.conn.srv.logger().Warn("scgi: header field dropped, its name is not a token", "name", name)
			}
			continue
		}
		for _, value := range w.header[name] {
			b = append(append(b, name...), ": "...)
			b = append(appendFieldValue(b, value), "\r\n"...)
		}
	}
	if coded && w.length == lengthUnknown {
		w.length = lengthOmitted
	}
	return b, typed || coded
}

// declared is the Content-Length of the handler's field. As in net/http, a field
// without a value asks for a reply without one.
func (w *response) declared(values []string) int64 {
	if !bodyAllowed(w.status) && w.status != http.StatusNotModified {
		return lengthUnknown
	}
	value := firstValue(values)
	if value == "" {
		return lengthOmitted
	}
	n, ok := wire.ParseDecimal(value)
	if !ok {
		w.x.conn.srv.logger().Warn("scgi: invalid Content-Length dropped", "value", value)
		return lengthUnknown
	}
	return n
}

// firstValue is what http.Header.Get returns of values.
func firstValue(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// appendFieldValue appends value, with a space for each byte that could end or
// cut a header line, or that Apache answers with 500.
func appendFieldValue(b []byte, value string) []byte {
	start := len(b)
	b = append(b, strings.Trim(value, " \t\r\n")...)
	for i, c := range b[start:] {
		if c < ' ' && c != '\t' || c == 0x7f {
			b[start+i] = ' '
		}
	}
	return b
}

// bodyAllowed reports whether a reply with status can have a body (RFC 9110
// §6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// complete closes the gap between head and body with the head's last lines. A
// reply to HEAD ends there.
func (w *response) complete(more []byte) []byte {
	var gap [headGap]byte
	last := gap[:0]
	body := w.buf[w.head+headGap:]
	if w.sniff && len(body)+len(more) > 0 {
		last = append(append(append(last, "Content-Type: "...), sniffed(body, more)...), "\r\n"...)
	}
	if w.length >= 0 {
		last = append(strconv.AppendInt(append(last, "Content-Length: "...), w.length, 10), "\r\n"...)
	}
	last = append(last, "\r\n"...)
	start := headGap - len(last)
	copy(w.buf[start:], w.buf[:w.head])
	copy(w.buf[start+w.head:], last)
	if w.isHead {
		return w.buf[start : w.head+headGap]
	}
	return w.buf[start:]
}

// sniffed is the Content-Type of a body that begins with its parts.
func sniffed(body, more []byte) string {
	switch {
	case len(body) == 0:
		body = more
	case len(body) < sniffLen && len(more) > 0:
		body = append(slices.Clone(body), more[:min(sniffLen, len(more))]...)
	}
	if isPlain(body) {
		return plainText
	}
	return http.DetectContentType(body)
}

const (
	sniffLen  = 512 // what http.DetectContentType looks at
	plainText = "text/plain; charset=utf-8"
)

// isPlain finds most of what http.DetectContentType calls plain text, which is
// what it looks for last: a fortieth of an exchange. It is printable ASCII, and
// has nothing of markup nor of the printable signatures.
func isPlain(b []byte) bool {
	b = b[:min(len(b), sniffLen)]
	for _, c := range b {
		if c == '<' || c >= 0x7f || c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	switch string(b[:min(len(b), 2)]) {
	case "%P", "%!", "BM", "FO", "GI", "ID", "OT", "RI", "tt", "wO":
		return false
	}
	return len(b) < 36 || string(b[34:36]) != "LP" // a font's, wherever text may be
}
