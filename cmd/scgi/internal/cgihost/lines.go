//go:build unix

package cgihost

// lines.go owns what a program writes to its standard error. Rule: each line is
// one record of the log, and neither a line nor a program can flood it.

import (
	"bytes"
	"log/slog"
)

const (
	maxLine  = 4 << 10  // of a record; the rest of a longer line is the next one
	maxLines = 64 << 10 // bytes of one program
)

// lines is an io.Writer that logs each line. It is used by one goroutine at a
// time.
type lines struct {
	log  *slog.Logger
	line []byte // without its end yet
	size int    // of all
}

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	if left := maxLines - l.size; n > left {
		p = p[:max(left, 0)]
		if left >= 0 {
			defer l.log.Warn("cgi: stderr: too much, the rest is dropped", "limit", maxLines)
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

// flush logs what there is of a line.
func (l *lines) flush() {
	if text := bytes.TrimRight(l.line, "\r"); len(text) > 0 {
		l.log.Warn("cgi: stderr", "line", string(text))
	}
	l.line = l.line[:0]
}
