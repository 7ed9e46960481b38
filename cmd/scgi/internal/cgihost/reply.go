//go:build unix

package cgihost

// reply.go passes on what a program writes to its standard output: a header block
// and a page (RFC 3875 §6). It passes on nothing before the header block is complete
// and valid, and then does not hold output back until the program writes more.

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// maxHeaderBytes is lighttpd's limit, the highest of the web servers'.
	maxHeaderBytes = 64 << 10

	// flushDelay is how long output waits for more. A short page written without a
	// longer pause is sent in one piece, with a Content-Length.
	flushDelay = 10 * time.Millisecond

	copySize = 32 << 10
)

var errNoHeader = fail(http.StatusInternalServerError, "the program ended without a complete header block (RFC 3875 §6)")

// reply passes the program's output on to w. It reports whether the reply has
// begun.
func (p *process) reply(w http.ResponseWriter) (began bool, err error) {
	limit := &io.LimitedReader{R: p.stdout, N: maxHeaderBytes}
	in := bufio.NewReader(limit)
	status, header, err := readHeader(in)
	switch {
	case err == io.EOF && limit.N == 0:
		return false, fail(http.StatusInternalServerError, "the program's header block is longer than %d bytes", maxHeaderBytes)
	case err == io.EOF:
		return false, errNoHeader
	case err != nil:
		return false, err
	}
	limit.N = math.MaxInt64
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	err = p.copyBody(w, in, contentLength(header))
	if err == nil {
		p.leave()
	}
	return true, err
}

// readHeader reads the header block. It returns io.EOF if the block is missing or
// incomplete.
func readHeader(in *bufio.Reader) (status int, header http.Header, err error) {
	tp := textproto.NewReader(in)
	line := ""
	if start, _ := in.Peek(5); string(start) == "HTTP/" { // a script with non-parsed headers
		if line, err = tp.ReadLine(); err != nil {
			return 0, nil, io.EOF
		}
		_, line, _ = strings.Cut(line, " ")
	}
	fields, err := tp.ReadMIMEHeader()
	switch {
	case errors.Is(err, io.EOF):
		return 0, nil, io.EOF
	case err != nil:
		return 0, nil, fail(http.StatusInternalServerError, "the program's header block is malformed: %w", err)
	case len(fields) == 0 && line == "":
		return 0, nil, fail(http.StatusInternalServerError, "the program's output begins with an empty line instead of a header block")
	}
	header = http.Header(fields)
	status, err = replyStatus(line, header)
	return status, header, err
}

// replyStatus returns the status from line, the status line of a script with
// non-parsed headers, or from the field Status. Without either it is 302 with a
// Location and else 200. It removes Status from the header.
func replyStatus(line string, header http.Header) (int, error) {
	if line == "" {
		line = header.Get("Status")
	}
	header.Del("Status")
	if header["Content-Type"] == nil {
		header["Content-Type"] = nil // keeps the Server from sniffing it
	}
	switch {
	case line != "":
		code, _, _ := strings.Cut(line, " ")
		status, err := strconv.Atoi(code)
		if err != nil || len(code) != 3 || status < 200 {
			return 0, fail(http.StatusInternalServerError, "the program's status is not a number from 200 to 999: %.64q", line)
		}
		return status, nil
	case header.Get("Location") != "":
		return http.StatusFound, nil
	}
	return http.StatusOK, nil
}

// contentLength returns the length that the program declares, or the largest
// possible if it declares none.
func contentLength(header http.Header) int64 {
	n, err := strconv.ParseUint(header.Get("Content-Length"), 10, 63)
	if err != nil {
		return math.MaxInt64
	}
	return int64(n)
}

// copyBody passes on at most length bytes and drops the rest of the output,
// because a script's echo often writes a line break beyond its Content-Length.
// Once the reply is complete, a client that leaves no longer kills the program.
func (p *process) copyBody(w http.ResponseWriter, in io.Reader, length int64) error {
	out := http.NewResponseController(w)
	buf := make([]byte, copySize)
	for unsent := true; ; {
		var end time.Time
		if unsent {
			end = time.Now().Add(p.delay)
		}
		_ = p.stdout.SetReadDeadline(end)
		n, err := in.Read(buf)
		n = int(min(int64(n), length))
		if length -= int64(n); length == 0 {
			p.leave()
		}
		if n > 0 {
			unsent = true
			if _, err := w.Write(buf[:n]); err == http.ErrBodyNotAllowed {
				length = 0
			} else if err != nil {
				return errGone
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case unsent && (err != nil || length == 0) && p.mayFlush():
			if out.Flush() != nil {
				return errGone
			}
			unsent = false
		}
	}
}
