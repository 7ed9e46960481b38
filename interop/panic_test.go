package interop_test

// panic_test.go tests what the client gets from a handler that panics. Half a reply never
// looks whole, except where a row explains why.

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/scgi"
)

func TestPanicBeforeTheFirstByte(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/panic", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-From", "the handler")
		_, _ = w.Write([]byte("not sent yet"))
		panic("on purpose")
	})
	mux.HandleFunc("/fine", func(w http.ResponseWriter, r *http.Request) {})
	site{handler: scgi.HTTPHandler(mux)}.each(t, func(t *testing.T, fr front) {
		a := get("/panic").do(t, fr.addr).ok(t, http.StatusInternalServerError)
		if a.header.Get("X-From") != "" || strings.Contains(a.body, "not sent") {
			t.Errorf("part of the discarded reply was sent: %v, %q", a.header, a.body)
		}
		get("/fine").do(t, fr.addr).ok(t, http.StatusOK)
	})
}

// A halfReply breaks off after half of its body.
type halfReply struct {
	length bool // whether it has a Content-Length
	seen   bool // whether the client gets the first half before the panic
}

// An unnoticed cut is a case in which half a reply looks whole.
type unnoticed struct {
	servers  servers
	networks []string
	length   bool
	why      string
}

var unnoticedCuts = []unnoticed{
	{each, []string{"unix"}, false, "a unix socket has no reset: the end of the connection is the end of the reply"},
	{apache, []string{"unix"}, true, "nor does Apache look at the Content-Length"},
}

func isUnnoticed(fr front, half halfReply) bool {
	return slices.ContainsFunc(unnoticedCuts, func(u unnoticed) bool {
		return u.length == half.length && u.servers.include(fr) && slices.Contains(u.networks, fr.network)
	})
}

var halfReplies = []halfReply{{true, true}, {true, false}, {false, true}, {false, false}}

// mistaking are web servers that may pass on half a reply as a whole one if it has no
// length and is cut before the web server has begun its own reply. That depends on timing,
// so it can't be tested. lighttpd 1.4.83 detects the cut ("propagate backend errs").
var mistaking = lighttpd.before("1.4.83")

func TestPanicAfterTheFirstByte(t *testing.T) {
	for _, half := range halfReplies {
		t.Run(fmt.Sprintf("%+v", half), func(t *testing.T) { testHalfReply(t, half) })
	}
}

func testHalfReply(t *testing.T, half halfReply) {
	seen := make(chan struct{})
	h := scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		w.Header().Set("X-Accel-Buffering", "no")
		if half.length {
			w.Header().Set("Content-Length", "2000")
		}
		_, _ = w.Write(make([]byte, 1000))
		w.(http.Flusher).Flush()
		if half.seen {
			select {
			case <-seen:
			case <-r.Context().Done():
			}
		}
		panic(http.ErrAbortHandler)
	})
	site{handler: h, extra: streaming}.each(t, func(t *testing.T, fr front) {
		if half == (halfReply{}) && mistaking.include(fr) {
			t.Skip("the result depends on timing")
		}
		for range 5 {
			conn := dial(t, fr.addr)
			_, _ = io.WriteString(conn, get("/").head())
			r := bufio.NewReader(conn)
			if half.seen {
				awaitBody(t, r)
				signal(t, seen)
			}
			a := readAnswer(r, http.MethodGet)
			if a.isWhole() != isUnnoticed(fr, half) {
				t.Errorf("status %d, error %v, %d bytes", a.status, a.err, len(a.body))
			}
		}
	})
}

// awaitBody waits until r has the first bytes of a response's body, and does not consume
// them.
func awaitBody(t *testing.T, r *bufio.Reader) {
	t.Helper()
	for n := 1; n < r.Size(); n = max(n, r.Buffered()) + 1 {
		if _, err := r.Peek(n); err != nil {
			t.Fatal(err)
		}
		b, _ := r.Peek(max(n, r.Buffered()))
		if _, body, ok := bytes.Cut(b, []byte("\r\n\r\n")); ok && bytes.IndexByte(body, 0) >= 0 {
			return
		}
	}
	t.Fatal("the response has no body")
}
