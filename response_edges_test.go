package scgi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A page that fits the buffer to the last byte has its length, and one that
// does not is sent as it comes: the buffer does not grow.
func TestReplyFitsTheBuffer(t *testing.T) {
	const room = scratchSize - len("Status: 200 OK\r\n") - headGap
	for size, known := range map[int]bool{room: true, room + 1: false} {
		x, rec := newRecorded(header{})
		page := strings.Repeat("x", size)
		io.WriteString(&x.reply, page)
		if err := x.reply.finish(); err != nil {
			t.Error(err)
		}
		head, body, _ := strings.Cut(rec.String(), "\r\n\r\n")
		if strings.Contains(head, "Content-Length") != known || body != page {
			t.Errorf("%d bytes: %q and %d bytes", size, head, len(body))
		}
	}
}

// Once the peer is gone every write fails, and none is tried.
func TestReplyAfterAFailedWrite(t *testing.T) {
	x, rec := newRecorded(header{})
	rec.fails = errTest
	for _, size := range []int{2 * scratchSize, 1, 2 * scratchSize} {
		if n, err := x.reply.Write(make([]byte, size)); n != 0 || !errors.Is(err, errTest) {
			t.Errorf("%d, %v", n, err)
		}
	}
	if err := x.reply.FlushError(); !errors.Is(err, errTest) || rec.writes != 1 {
		t.Errorf("%v after %d writes", err, rec.writes)
	}
	if err := x.ctx.Err(); err == nil {
		t.Error("the request's context goes on")
	}
}

// Not a byte more than the status and the Content-Length allow, and an empty
// write is always allowed.
func TestReplyAllows(t *testing.T) {
	for _, test := range []struct {
		status int
		length string
		most   int
		err    error
	}{
		{204, "", 0, http.ErrBodyNotAllowed},
		{304, "", 0, http.ErrBodyNotAllowed},
		{200, "0", 0, http.ErrContentLength},
		{200, "2", 2, http.ErrContentLength},
	} {
		x, rec := newRecorded(header{})
		if test.length != "" {
			x.reply.Header().Set("Content-Length", test.length)
		}
		x.reply.WriteHeader(test.status)
		for range test.most {
			if n, err := x.reply.Write([]byte("x")); n != 1 || err != nil {
				t.Errorf("%+v: %d, %v", test, n, err)
			}
		}
		if n, err := x.reply.Write(nil); n != 0 || err != nil {
			t.Errorf("%+v: an empty write: %d, %v", test, n, err)
		}
		if n, err := x.reply.Write([]byte("x")); n != 0 || err != test.err {
			t.Errorf("%+v: one more: %d, %v", test, n, err)
		}
		if err := x.reply.finish(); err != nil {
			t.Error(err)
		}
		if _, body, _ := strings.Cut(rec.String(), "\r\n\r\n"); len(body) != test.most {
			t.Errorf("%+v: %q was sent", test, body)
		}
	}
}

// What a ProduceFunc writes is all that is sent, and is counted.
func TestReplyOfProduce(t *testing.T) {
	x, rec := newRecorded(header{isHead: true})
	out := x.reply.rawOutput()
	fmt.Fprint(out, "Status: 200 OK\r\n\r\n")
	fmt.Fprint(out, "page")
	x.reply.WriteHeader(500)
	if err := x.reply.finish(); err != nil {
		t.Error(err)
	}
	const want = "Status: 200 OK\r\n\r\npage"
	if _, wrote, cut := x.reply.summary(); rec.String() != want || wrote != int64(len(want)) || cut {
		t.Errorf("%q, counted as %d, cut: %t", rec.String(), wrote, cut)
	}
}
