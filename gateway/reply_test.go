package gateway

// reply_test.go tests reading replies.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"example.com/scgi/internal/leak"
	"example.com/scgi/internal/scgitest"
	"example.com/scgi/internal/wire"
)

// refusals maps the reasons in testdata/vectors/replies.json to a check of the error.
var refusals = map[string]func(error) bool{
	"the reply is cut":                        is(io.ErrUnexpectedEOF),
	"a line is no field":                      func(err error) bool { return errors.As(err, new(textproto.ProtocolError)) },
	"a name is no token":                      is(errReplyName),
	"the status is not three digits from 100": is(errReplyStatus),
	"the length is not one decimal number":    is(errReplyLength),
	"the encoding is not chunked alone":       is(errReplyEncoding),
	"too many interim replies":                is(errReplyInterim),
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func TestTransportReplies(t *testing.T) {
	leak.Goroutines(t)
	for _, v := range scgitest.Replies(t) {
		for how, chunked := range replyChunkings {
			t.Run(v.Name+", "+how, func(t *testing.T) {
				resp, err := roundTripOn(v.Method, chunked(strings.NewReader(v.Input)))
				checkReply(t, v, resp, err)
			})
		}
	}
}

// Over sockets, replies are the same in one write and byte by byte.
func TestTransportRepliesOnSockets(t *testing.T) {
	leak.Goroutines(t)
	for _, network := range []string{"tcp", "unix"} {
		for _, v := range scgitest.Replies(t) {
			for _, size := range []int{1, len(v.Input)} {
				t.Run(fmt.Sprint(network, " ", v.Name, " by ", size), func(t *testing.T) {
					addr := fakeServer(t, network, func(c *fakeConn) {
						c.request()
						for rest := v.Input; rest != ""; rest = rest[size:] {
							c.send(rest[:size])
						}
					})
					req, _ := http.NewRequest(v.Method, "http://fe.test/", nil)
					resp, err := (&Transport{Addr: addr}).RoundTrip(req)
					checkReply(t, v, resp, err)
				})
			}
		}
	}
}

// checkReply fails t unless the Transport turned a reply into what v describes.
func checkReply(t *testing.T, v scgitest.ReplyVector, resp *http.Response, err error) {
	t.Helper()
	var body []byte
	if err == nil {
		body, err = io.ReadAll(resp.Body)
	}
	if v.Refuse != "" {
		if refused := refusals[v.Refuse]; refused == nil || !refused(err) {
			t.Errorf("got %v, want the refusal %q", err, v.Refuse)
		}
		return
	}
	if err != nil || string(body) != v.Body {
		t.Errorf("body %q, %v; want %q", body, err, v.Body)
	}
	if resp == nil {
		return
	}
	status := strings.TrimSpace(fmt.Sprint(v.Status, " ", v.Reason))
	if resp.Status != status || resp.StatusCode != v.Status || resp.ContentLength != wantLength(v) {
		t.Errorf("%q, %d, length %d; want %q, length %d", resp.Status, resp.StatusCode, resp.ContentLength, status, wantLength(v))
	}
	if !reflect.DeepEqual(resp.Header, v.Fields) {
		t.Errorf("header %q, want %q", resp.Header, v.Fields)
	}
	if resp.Proto != "HTTP/1.1" || resp.ProtoMajor != 1 || resp.ProtoMinor != 1 || resp.Request == nil {
		t.Errorf("incomplete: %+v", resp)
	}
}

// wantLength is the ContentLength of the response, -1 if v has none.
func wantLength(v scgitest.ReplyVector) int64 {
	n, err := strconv.ParseInt(v.Fields.Get("Content-Length"), 10, 64)
	switch {
	case v.Status == http.StatusNoContent || v.Status == http.StatusNotModified:
		return 0
	case err != nil:
		return -1
	}
	return n
}

func TestTransportReplyHeaderLimit(t *testing.T) {
	head := "Status: 200 OK\r\nX-A: " + strings.Repeat("x", 10000) + "\r\n\r\n"
	for how, chunked := range replyChunkings {
		for limit, want := range map[int]error{
			len(head):     nil,
			len(head) - 1: errReplyHeaderLimit,
			5000:          errReplyHeaderLimit, // within a line
			16:            errReplyHeaderLimit, // between lines
			1:             errReplyHeaderLimit,
			0:             nil, // the default
			-1:            nil,
		} {
			raw := chunked(strings.NewReader(head + strings.Repeat("body", 1000)))
			req, _ := http.NewRequest("GET", "http://fe.test/", nil)
			tr := &Transport{Addr: "x:1", MaxHeaderBytes: limit, DialContext: dialed(&stubConn{reply: raw})}
			resp, err := tr.RoundTrip(req)
			if !errors.Is(err, want) {
				t.Errorf("limit %d, %s: got %v, want %v", limit, how, err, want)
			}
			if err != nil {
				continue
			}
			if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 4000 {
				t.Errorf("limit %d, %s: body of %d bytes, %v", limit, how, len(body), err)
			}
		}
	}
	endless := io.MultiReader(strings.NewReader("A: b"), readerFunc(func(p []byte) (int, error) { return copy(p, "xxxxxxx"), nil }))
	if _, err := roundTripOn("GET", endless); !errors.Is(err, errReplyHeaderLimit) {
		t.Errorf("endless header: got %v, want %v", err, errReplyHeaderLimit)
	}
}

// A reply that is cut anywhere in its header, or before its Content-Length is reached, ends
// with io.ErrUnexpectedEOF.
func TestTransportReplyCut(t *testing.T) {
	const raw = "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 11\r\n\r\nhello world"
	for how, chunked := range replyChunkings {
		for n := range len(raw) {
			resp, err := roundTripOn("GET", chunked(strings.NewReader(raw[:n])))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, cut to %q: got %v, want %v", how, raw[:n], err, io.ErrUnexpectedEOF)
			}
		}
	}
}

// A chunked reply that is cut before the end of its last chunk ends with
// io.ErrUnexpectedEOF. Malformed chunks are an error.
func TestTransportReplyCutInChunks(t *testing.T) {
	const raw = "Transfer-Encoding: chunked\n\n5\r\nhello\r\n6\r\n world\r\n0\r\n"
	for how, chunked := range replyChunkings {
		for n := range len(raw) {
			resp, err := roundTripOn("GET", chunked(strings.NewReader(raw[:n])))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, cut to %q: got %v, want %v", how, raw[:n], err, io.ErrUnexpectedEOF)
			}
		}
	}
	for _, body := range []string{"hello", "5\r\nhello world", "-1\r\n", "5\nhello\n0\n", "ffffffffffffffffff\r\n"} {
		resp, err := roundTripOn("GET", strings.NewReader("Transfer-Encoding: chunked\n\n"+body))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if err == nil {
			t.Errorf("chunks %q were decoded", body)
		}
	}
}

// A reset is an error even without a Content-Length.
func TestTransportReplyReset(t *testing.T) {
	for _, raw := range []string{"", "A: b\n", "A: ", "A: b\n\nbody", "Content-Length: 9\n\nbody"} {
		resp, err := roundTripOn("GET", io.MultiReader(strings.NewReader(raw), iotest.ErrReader(errTest)))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if !errors.Is(err, errTest) {
			t.Errorf("%q: got %v, want %v", raw, err, errTest)
		}
	}
}

func TestTransportBodyReader(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 2000)
	for _, head := range []string{"\n", "Content-Length: 20000\n\n"} {
		resp, err := roundTripOn("GET", io.MultiReader(strings.NewReader(head), bytes.NewReader(content)))
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(resp.Body, content); err != nil {
			t.Errorf("after %q: %v", head, err)
		}
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("read after Close: %v", err)
		}
	}
}

// FuzzReply reads arbitrary bytes as a reply. Reading must not panic, nor return a header
// over the limit, and the result must not depend on how the reply is split.
func FuzzReply(f *testing.F) {
	for _, v := range scgitest.Replies(f) {
		f.Add(v.Method == http.MethodHead, []byte(v.Input))
	}
	f.Add(false, []byte("Status: 101\nUpgrade: x\n\nraw"))
	f.Add(false, []byte("hello"))
	f.Add(false, []byte("A: "+strings.Repeat("x", 5000)+"\n\n"))
	f.Fuzz(func(t *testing.T, head bool, raw []byte) {
		whole := readFuzzed(t, head, bytes.NewReader(raw))
		for how, chunked := range replyChunkings {
			if got := readFuzzed(t, head, chunked(bytes.NewReader(raw))); got != whole {
				t.Errorf("%s:\n%s\nwhole:\n%s", how, got, whole)
			}
		}
	})
}

// readFuzzed reads reply and returns the result as text. It sends nothing and starts no
// goroutine, so that coverage depends on the input alone.
func readFuzzed(t *testing.T, head bool, reply io.Reader) string {
	const limit = 4096
	method := http.MethodGet
	if head {
		method = http.MethodHead
	}
	req, _ := http.NewRequest(method, "http://fe.test/", nil)
	rt := &roundTrip{ctx: t.Context(), conn: &stubConn{reply: reply}, body: newRequestBody(nil), room: limit}
	rt.in = bufio.NewReader(rt)
	rt.unwatch = func() bool { return true }
	rt.body.Close()
	rt.sent = make(chan struct{})
	close(rt.sent)
	resp, err := rt.readReply(req)
	switch {
	case errors.Is(err, errReplyName): // if several names are wrong, the error may show any
		return errReplyName.Error()
	case err != nil:
		return err.Error()
	}
	defer resp.Body.Close()
	size := 0
	for name, values := range resp.Header {
		size += len(name) + len(strings.Join(values, ""))
		if !wire.IsToken(name) || strings.ContainsAny(strings.Join(values, ""), "\x00\r\n") {
			t.Errorf("header field %q: %q", name, values)
		}
	}
	if size > limit+len("ConnectionUpgrade") || resp.StatusCode < 100 || resp.StatusCode > 999 {
		t.Errorf("%d bytes of header, status %d", size, resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.ContentLength > 0 && !head && resp.StatusCode != 101 && int64(len(body)) != resp.ContentLength {
		t.Errorf("%d bytes of body, not %d", len(body), resp.ContentLength)
	}
	return fmt.Sprint(resp.Status, resp.Header, resp.ContentLength, body, err)
}
