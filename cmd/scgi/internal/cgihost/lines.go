//go:build unix

package cgihost

// lines.go logs a program's standard error, one record per line. It bounds each
// line and the total, so that a program can't flood the log.

import (
	"bytes"
	"log/slog"
)

const (
	maxLine  = 4 << 10  // bytes in a record; a longer line is split
	maxLines = 64 << 10 // bytes from one program
)

// lines is an io.Writer that logs each line. It is not safe for concurrent use.
type lines struct {
	log  *slog.Logger
	line []byte // the incomplete last line
	size int    // bytes written so far
}

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	if left := maxLines - l.size; n > left {
		p = p[:max(left, 0)]
		if left >= 0 {
			defer l.log.Warn("cgi: stderr: limit reached, the rest is dropped", "limit", maxLines)
		}
	}
	l.size += n
	for len(p) > 0 {
		part, rest, ended := bytes.Cut(p, []byte("\n"))
		if room := maxLine - len(l.line); len(part) > room {
			part, rest, ended = p[:room], p[room:], true
		}
		l.line = append(l.line, part...)
		if ended {
			l.flush()
		}
		p = rest
	}
	return n, nil
}

// flush logs the incomplete last line, if any.
func (l *lines) flush() {
	if text := bytes.TrimRight(l.line, "\r"); len(text) > 0 {
		l.log.Warn("cgi: stderr", "line", string(text))
	}
	l.line = l.line[:0]
}
