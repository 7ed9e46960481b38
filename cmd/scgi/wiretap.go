package main

// wiretap.go records the bytes of a connection for get's -v and -i, before they
// are parsed.

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
)

// tapped bounds the bytes of a reply that are kept to show its header.
const tapped = 64 << 10

// wiretap is a connection that prints the header it sends, and records what it
// receives until showReply is called.
type wiretap struct {
	net.Conn // nil until dialed
	dialed   bool
	verbose  bool

	sent     []byte // the header so far, until it is printed
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

// showRequest prints the request's header once it is complete.
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

// showReply prints the reply's header if verbose, and stops the recording.
func (w *wiretap) showReply() {
	w.stopped = true
	if !w.verbose {
		return
	}
	for line := range bytes.Lines(w.head()) {
		fmt.Fprintf(os.Stderr, "< %s\n", printable(bytes.TrimRight(line, "\r\n")))
	}
}

// printable escapes control characters, so that a peer can't send escape
// sequences to a terminal.
func printable(b []byte) string {
	q := fmt.Sprintf("%q", b)
	return q[1 : len(q)-1]
}

// head returns the reply's header block as received, up to and including the
// empty line, or everything received if there is no empty line.
func (w *wiretap) head() []byte {
	for i, b := range w.received {
		if rest := w.received[i+1:]; b == '\n' && (bytes.HasPrefix(rest, []byte("\n")) || bytes.HasPrefix(rest, []byte("\r\n"))) {
			return w.received[:i+1+bytes.IndexByte(rest, '\n')+1]
		}
	}
	return w.received
}

func (w *wiretap) speaksHTTP() bool { return bytes.HasPrefix(w.received, []byte("HTTP/")) }

// speaksTLS reports whether the reply begins with a TLS alert or handshake record
// (RFC 8446 §5.1).
func (w *wiretap) speaksTLS() bool {
	return bytes.HasPrefix(w.received, []byte{21, 3}) || bytes.HasPrefix(w.received, []byte{22, 3})
}
