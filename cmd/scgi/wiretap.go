package main

// wiretap.go owns what get shows of a connection. Rule: it shows the bytes, not
// what was made of them.

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
)

// tapped is how much of a reply is kept for its header.
const tapped = 64 << 10

// wiretap is a connection that shows the header it sends, and keeps what it
// receives until showReply is called.
type wiretap struct {
	net.Conn // nil until it is made
	dialed   bool
	verbose  bool

	sent     []byte // of the header, until it is shown
	shown    bool
	received []byte
	stopped  bool
}

func (w *wiretap) Write(p []byte) (int, error) {
	if w.verbose && !w.shown {
		w.sent = append(w.sent, p...)
		w.showRequest()
	}
	return w.Conn.Write(p)
}

func (w *wiretap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if !w.stopped && len(w.received) < tapped {
		w.received = append(w.received, p[:n]...)
	}
	return n, err
}

// showRequest shows the header, once it is whole.
func (w *wiretap) showRequest() {
	length, rest, ok := bytes.Cut(w.sent, []byte(":"))
	n, err := strconv.Atoi(string(length))
	if !ok || err != nil || n > len(rest) {
		return
	}
	pairs := bytes.Split(rest[:n], []byte{0})
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(os.Stderr, "> %s: %q\n", printable(pairs[i]), pairs[i+1])
	}
	w.shown, w.sent = true, nil
}

// showReply shows the header that came. What comes next is not kept.
func (w *wiretap) showReply() {
	w.stopped = true
	if !w.verbose {
		return
	}
	for line := range bytes.Lines(w.head()) {
		fmt.Fprintf(os.Stderr, "< %s\n", printable(bytes.TrimRight(line, "\r\n")))
	}
}

// printable keeps a reply from writing to a terminal more than text.
func printable(b []byte) string {
	q := fmt.Sprintf("%q", b)
	return q[1 : len(q)-1]
}

// head is the reply's header block as it came, with the empty line at its end;
// or all that came, if there is no such line.
func (w *wiretap) head() []byte {
	for i, b := range w.received {
		if rest := w.received[i+1:]; b == '\n' && (bytes.HasPrefix(rest, []byte("\n")) || bytes.HasPrefix(rest, []byte("\r\n"))) {
			return w.received[:i+1+bytes.IndexByte(rest, '\n')+1]
		}
	}
	return w.received
}

func (w *wiretap) speaksHTTP() bool { return bytes.HasPrefix(w.received, []byte("HTTP/")) }

// speaksTLS reports an alert or a handshake (RFC 8446 §5.1).
func (w *wiretap) speaksTLS() bool {
	return bytes.HasPrefix(w.received, []byte{21, 3}) || bytes.HasPrefix(w.received, []byte{22, 3})
}
