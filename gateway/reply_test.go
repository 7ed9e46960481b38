package gateway

// reply_test.go owns the tests of reading replies.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"example.com/scgi/internal/leak"
	"example.com/scgi/internal/wire"
)

// fields is short for http.Header.
type fields = http.Header

var sampleReplies = []struct {
	name, method, raw string
	status            string
	header            http.Header
	length            int64
	body              string
}{
	{"status", "GET", "Status: 404 Not Found\r\nX-A: b\r\n\r\nbody", "404 Not Found", fields{"X-A": {"b"}}, -1, "body"},
	{"status last, lower case, tight", "GET", "X-A: b\nstatus:404\n\nbody", "404 Not Found", fields{"X-A": {"b"}}, -1, "body"},
	{"own reason", "GET", "Status: 200 Fine by me\n\n", "200 Fine by me", fields{}, -1, ""},
	{"unknown code", "GET", "Status: 799\n\n", "799", fields{}, -1, ""},
	{"999", "GET", "Status: 999 x\n\n", "999 x", fields{}, -1, ""},
	{"first status counts", "GET", "Status: 201\nStatus: 404\n\n", "201 Created", fields{}, -1, ""},
	{"status line", "GET", "HTTP/1.1 404 Gone Away\r\nX-A: b\r\n\r\nx", "404 Gone Away", fields{"X-A": {"b"}}, -1, "x"},
	{"status line without reason", "GET", "HTTP/1.0 404\n\n", "404 Not Found", fields{}, -1, ""},
	{"status line and status", "GET", "HTTP/1.1 201 A\nStatus: 404 B\n\n", "201 A", fields{}, -1, ""},
	{"field with an H", "GET", "H: x\n\n", "200 OK", fields{"H": {"x"}}, -1, ""},
	{"none", "GET", "X-A: b\n\nx", "200 OK", fields{"X-A": {"b"}}, -1, "x"},
	{"no header", "GET", "\r\nbody", "200 OK", fields{}, -1, "body"},
	{"local redirect", "GET", "Location: /x\n\n", "302 Found", fields{"Location": {"/x"}}, -1, ""},
	{"client redirect", "GET", "Location: http://a/x\nStatus: 301\n\n", "301 Moved Permanently", fields{"Location": {"http://a/x"}}, -1, ""},
	{"status and Location", "GET", "Status: 201\nLocation: /x\n\n", "201 Created", fields{"Location": {"/x"}}, -1, ""},
	{"empty Location", "GET", "Location:\n\n", "200 OK", fields{"Location": {""}}, -1, ""},
	{"mixed ends of lines", "GET", "A: b\r\nC: d\n\r\nx", "200 OK", fields{"A": {"b"}, "C": {"d"}}, -1, "x"},
	{"folded", "GET", "A: b\n c\n\nx", "200 OK", fields{"A": {"b c"}}, -1, "x"},
	{"repeated", "GET", "Set-Cookie: a\nSet-Cookie: b\n\n", "200 OK", fields{"Set-Cookie": {"a", "b"}}, -1, ""},
	{"bytes from 0x80", "GET", "A: \xe9\n\n\xe9\x00", "200 OK", fields{"A": {"\xe9"}}, -1, "\xe9\x00"},
	{"length", "GET", "Content-Length: 3\n\nabc", "200 OK", fields{"Content-Length": {"3"}}, 3, "abc"},
	{"more than its length", "GET", "Content-Length: 3\n\nabcdef", "200 OK", fields{"Content-Length": {"3"}}, 3, "abc"},
	{"length 0", "GET", "Content-Length: 0\n\nabc", "200 OK", fields{"Content-Length": {"0"}}, 0, ""},
	{"length twice", "GET", "Content-Length: 3\nContent-Length: 3\n\nabc", "200 OK", fields{"Content-Length": {"3", "3"}}, 3, "abc"},
	{"HEAD", "HEAD", "Content-Length: 3\n\nabc", "200 OK", fields{"Content-Length": {"3"}}, 3, ""},
	{"HEAD without length", "HEAD", "A: b\n\nabc", "200 OK", fields{"A": {"b"}}, -1, ""},
	{"204", "GET", "Status: 204\nContent-Length: 3\n\nabc", "204 No Content", fields{"Content-Length": {"3"}}, 0, ""},
	{"304", "GET", "Status: 304\nEtag: x\nContent-Length: 3\n\n", "304 Not Modified", fields{"Etag": {"x"}, "Content-Length": {"3"}}, 0, ""},
	{"hop by hop", "GET", "Connection: close\nKeep-Alive: 1\nProxy-Connection: x\nTE: x\nTrailer: x\nUpgrade: x\nDate: y\n\n1\n", "200 OK", fields{"Date": {"y"}}, -1, "1\n"},
	{"chunked", "GET", "Transfer-Encoding: chunked\nTrailer: T\n\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: x\r\n\r\n", "200 OK", fields{}, -1, "hello world"},
	{"chunked, no body", "GET", "Transfer-Encoding: Chunked\n\n0\r\n\r\n", "200 OK", fields{}, -1, ""},
	{"chunked, trailer cut", "GET", "Transfer-Encoding: chunked\n\n1\r\na\r\n0\r\nT", "200 OK", fields{}, -1, "a"},
	{"chunked, HEAD", "HEAD", "Transfer-Encoding: chunked\n\n", "200 OK", fields{}, -1, ""},
	{"chunked, 304", "GET", "Status: 304\nTransfer-Encoding: chunked\n\n", "304 Not Modified", fields{}, 0, ""},
	{"1xx", "GET", "Status: 103\nLink: x\n\nHTTP/1.1 100 Continue\r\n\r\nStatus: 201\nA: b\n\nx", "201 Created", fields{"A": {"b"}}, -1, "x"},
	{"five 1xx", "GET", strings.Repeat("Status: 102\n\n", 5) + "\nx", "200 OK", fields{}, -1, "x"},
}

func TestTransportReply(t *testing.T) {
	leak.Goroutines(t)
	for _, row := range sampleReplies {
		for how, chunked := range replyChunkings {
			resp, err := roundTripOn(row.method, chunked(strings.NewReader(row.raw)))
			if err != nil {
				t.Errorf("%s, %s: %v", row.name, how, err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != row.body {
				t.Errorf("%s, %s: body %q, %v; want %q", row.name, how, body, err, row.body)
			}
			if resp.Status != row.status || fmt.Sprint(resp.StatusCode) != row.status[:3] || resp.ContentLength != row.length {
				t.Errorf("%s, %s: %q, %d, length %d; want %q, %d", row.name, how, resp.Status, resp.StatusCode, resp.ContentLength, row.status, row.length)
			}
			if !reflect.DeepEqual(resp.Header, row.header) {
				t.Errorf("%s, %s: header %q, want %q", row.name, how, resp.Header, row.header)
			}
			if resp.Proto != "HTTP/1.1" || resp.ProtoMajor != 1 || resp.ProtoMinor != 1 || resp.Request == nil {
				t.Errorf("%s, %s: not whole: %+v", row.name, how, resp)
			}
		}
	}
}

// Replies are the same over sockets, in one write and byte by byte.
func TestTransportReplyOnSockets(t *testing.T) {
	leak.Goroutines(t)
	for _, network := range []string{"tcp", "unix"} {
		for _, row := range sampleReplies {
			for _, size := range []int{1, len(row.raw)} {
				addr := fakeServer(t, network, func(c *fakeConn) {
					c.request()
					for rest := row.raw; rest != ""; rest = rest[size:] {
						c.send(rest[:size])
					}
				})
				req, _ := http.NewRequest(row.method, "http://fe.test/", nil)
				resp, err := (&Transport{Addr: addr}).RoundTrip(req)
				if err != nil {
					t.Errorf("%s, %s: %v", network, row.name, err)
					continue
				}
				if body, err := io.ReadAll(resp.Body); err != nil || string(body) != row.body || resp.Status != row.status {
					t.Errorf("%s, %s: %q, %q, %v", network, row.name, resp.Status, body, err)
				}
			}
		}
	}
}

func TestTransportRefusesReply(t *testing.T) {
	protocol := errors.New("a textproto.ProtocolError")
	for name, row := range map[string]struct {
		raw  string
		want error
	}{
		"nothing":             {"", io.ErrUnexpectedEOF},
		"header without end":  {"Status: 200 OK\r\n", io.ErrUnexpectedEOF},
		"status line only":    {"HTTP/1.1 200 OK\r\n", io.ErrUnexpectedEOF},
		"text":                {"hello\nworld\n\n", protocol},
		"no name":             {": x\n\n", protocol},
		"space in name":       {"A B: x\n\n", errReplyName},
		"space after name":    {"A : x\n\n", errReplyName},
		"leading space":       {" A: x\n\n", protocol},
		"NUL":                 {"A: b\x00c\n\n", protocol},
		"CR in value":         {"A: b\rInjected: c\n\n", protocol},
		"control byte":        {"A: \x01\n\n", protocol},
		"CR only":             {"A: b\r\rbody", io.ErrUnexpectedEOF},
		"status 1000":         {"Status: 1000 K\n\n", errReplyStatus},
		"status 99":           {"Status: 99\n\n", errReplyStatus},
		"status 099":          {"Status: 099\n\n", errReplyStatus},
		"status 0":            {"Status: 0\n\n", errReplyStatus},
		"status +20":          {"Status: +20\n\n", errReplyStatus},
		"status word":         {"Status: abc\n\n", errReplyStatus},
		"status empty":        {"Status:\n\n", errReplyStatus},
		"status 200OK":        {"Status: 200OK\n\n", errReplyStatus},
		"status line empty":   {"HTTP/1.1\n\n", errReplyStatus},
		"status line control": {"HTTP/1.1 200 a\rb\n\n", errReplyStatus},
		"lengths differ":      {"Content-Length: 1\nContent-Length: 2\n\nab", errReplyLength},
		"length empty":        {"Content-Length:\n\nab", errReplyLength},
		"length -1":           {"Content-Length: -1\n\nab", errReplyLength},
		"length +2":           {"Content-Length: +2\n\nab", errReplyLength},
		"length 2, 2":         {"Content-Length: 2, 2\n\nab", errReplyLength},
		"length huge":         {"Content-Length: 99999999999999999999\n\nab", errReplyLength},
		"gzip in chunks":      {"Transfer-Encoding: gzip, chunked\n\n0\r\n\r\n", errReplyEncoding},
		"identity":            {"Transfer-Encoding: identity\n\na", errReplyEncoding},
		"chunked twice":       {"Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\r\n\r\n", errReplyEncoding},
		"chunked with length": {"Transfer-Encoding: chunked\nContent-Length: 1\n\n1\r\na\r\n0\r\n\r\n", errReplyEncoding},
		"six 1xx":             {strings.Repeat("Status: 102\n\n", 6) + "\nx", errReplyInterim},
		"1xx only":            {"Status: 100\n\n", io.ErrUnexpectedEOF},
	} {
		for how, chunked := range replyChunkings {
			_, err := roundTripOn("GET", chunked(strings.NewReader(row.raw)))
			isProtocol := errors.As(err, new(textproto.ProtocolError))
			if row.want == protocol && !isProtocol || row.want != protocol && !errors.Is(err, row.want) {
				t.Errorf("%s, %s: got %v, want %v", name, how, err, row.want)
			}
		}
	}
}

func TestTransportReplyHeaderLimit(t *testing.T) {
	head := "Status: 200 OK\r\nX-A: " + strings.Repeat("x", 10000) + "\r\n\r\n"
	for how, chunked := range replyChunkings {
		for limit, want := range map[int]error{
			len(head):     nil,
			len(head) - 1: errReplyHeaderLimit,
			5000:          errReplyHeaderLimit, // within the line
			16:            errReplyHeaderLimit, // between the lines
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

// A reply that is cut anywhere in its header, or before its Content-Length, is
// an io.ErrUnexpectedEOF.
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

// A chunked reply that is cut before its last chunk ends is an
// io.ErrUnexpectedEOF, and malformed chunks are an error.
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

// A reset is an error also without a Content-Length.
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

// FuzzReply reads any bytes as a reply. Reading must not panic, nor return a header
// over the limit, and the result must not depend on the pieces that arrive.
func FuzzReply(f *testing.F) {
	for _, row := range sampleReplies {
		f.Add(row.method == "HEAD", []byte(row.raw))
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

// readFuzzed returns the result of reading reply as text. It sends nothing and
// starts no goroutine, so that coverage depends on the input alone.
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
	case errors.Is(err, errReplyName): // of several names, any may be told
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
