//go:build linux

package load

// protocol.go encodes the same request in three protocols and finds the end of a
// reply in each. It parses no more of a reply than that requires.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// verdict is the state of a reply.
type verdict int

const (
	more verdict = iota // incomplete
	good                // complete, and a 200
	bad
)

// A judge examines the bytes of a reply so far. If eof is true, no more will come.
type judge func(got []byte, eof bool) verdict

// variables returns a browser's request as nginx passes it on.
func variables(headerBytes, bodyBytes int) [][2]string {
	method := "GET"
	if bodyBytes > 0 {
		method = "POST"
	}
	vars := [][2]string{
		{"CONTENT_LENGTH", strconv.Itoa(bodyBytes)},
		{"SCGI", "1"},
		{"REQUEST_METHOD", method},
		{"REQUEST_URI", "/time?zone=UTC"},
		{"QUERY_STRING", "zone=UTC"},
		{"CONTENT_TYPE", ""},
		{"DOCUMENT_URI", "/time"},
		{"DOCUMENT_ROOT", "/var/www/html"},
		{"SERVER_PROTOCOL", "HTTP/1.1"},
		{"REQUEST_SCHEME", "https"},
		{"HTTPS", "on"},
		{"REMOTE_ADDR", "192.0.2.7"},
		{"REMOTE_PORT", "51234"},
		{"SERVER_PORT", "443"},
		{"SERVER_NAME", "www.example.org"},
	}
	for _, f := range fields(headerBytes) {
		name := "HTTP_" + strings.ToUpper(strings.ReplaceAll(f[0], "-", "_"))
		vars = append(vars, [2]string{name, f[1]})
	}
	return vars
}

// fields returns a browser's header, padded to about headerBytes.
func fields(headerBytes int) [][2]string {
	fs := [][2]string{
		{"Host", "www.example.org"},
		{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		{"Accept-Language", "en-GB,en;q=0.5"},
		{"Accept-Encoding", "gzip, deflate, br, zstd"},
		{"Cookie", "session=b3f1c09f7d1a4e2c8d55; theme=dark"},
		{"Sec-Fetch-Mode", "navigate"},
	}
	const usual, step = 650, 1000
	for size := usual; size < headerBytes; size += step {
		value := strings.Repeat("x", min(step, headerBytes-size))
		fs = append(fs, [2]string{fmt.Sprintf("X-Fill-%d", size/step), value})
	}
	return fs
}

// protocol returns a request and the judge of its reply.
func protocol(c Config) (request []byte, j judge, err error) {
	switch {
	case c.Protocol == "scgi" && !c.Keep:
		return scgiRequest(c.HeaderBytes, c.BodyBytes), closedReply("Status: 200"), nil
	case c.Protocol == "http" && c.Keep:
		return httpRequest(c), keptHTTPReply, nil
	case c.Protocol == "http":
		return httpRequest(c), closedReply("HTTP/1.1 200"), nil
	case c.Protocol == "fcgi":
		return fcgiRequest(c), fcgiReply(c.Keep), nil
	}
	return nil, nil, fmt.Errorf("load: protocol %q with Keep %t is not supported", c.Protocol, c.Keep)
}

func scgiRequest(headerBytes, bodyBytes int) []byte {
	var block bytes.Buffer
	for _, v := range variables(headerBytes, bodyBytes) {
		block.WriteString(v[0] + "\x00" + v[1] + "\x00")
	}
	request := fmt.Appendf(nil, "%d:%s,", block.Len(), block.Bytes())
	return append(request, make([]byte, bodyBytes)...)
}

// closedReply judges replies that end when the server closes the connection.
func closedReply(begin string) judge {
	prefix := []byte(begin)
	return func(got []byte, eof bool) verdict {
		switch {
		case !eof:
			return more
		case bytes.HasPrefix(got, prefix):
			return good
		}
		return bad
	}
}

func httpRequest(c Config) []byte {
	var b bytes.Buffer
	method := variables(0, c.BodyBytes)[2][1]
	b.WriteString(method + " /time?zone=UTC HTTP/1.1\r\n")
	for _, f := range fields(c.HeaderBytes) {
		b.WriteString(f[0] + ": " + f[1] + "\r\n")
	}
	if !c.Keep {
		b.WriteString("Connection: close\r\n")
	}
	if c.BodyBytes > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", c.BodyBytes)
	}
	b.WriteString("\r\n")
	b.Write(make([]byte, c.BodyBytes))
	return b.Bytes()
}

// keptHTTPReply judges a reply that ends by its Content-Length or last chunk.
func keptHTTPReply(got []byte, eof bool) verdict {
	end := bytes.Index(got, []byte("\r\n\r\n"))
	if end < 0 || eof {
		return pending(eof)
	}
	head, body := got[:end+2], got[end+4:]
	switch n, ok := contentLength(head); {
	case !bytes.HasPrefix(head, []byte("HTTP/1.1 200")):
		return bad
	case ok && len(body) >= n, !ok && bytes.HasSuffix(body, []byte("0\r\n\r\n")):
		return good
	}
	return more
}

func pending(eof bool) verdict {
	if eof {
		return bad
	}
	return more
}

func contentLength(head []byte) (n int, ok bool) {
	const name = "\r\nContent-Length: "
	at := bytes.Index(head, []byte(name))
	if at < 0 {
		return 0, false
	}
	for _, c := range head[at+len(name):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// The FastCGI record types (FastCGI §8).
const (
	fcgiBegin  = 1
	fcgiEnd    = 3
	fcgiParams = 4
	fcgiStdin  = 5
	fcgiStdout = 6
)

func fcgiRequest(c Config) []byte {
	keep := byte(0)
	if c.Keep {
		keep = 1
	}
	var params []byte
	for _, v := range variables(c.HeaderBytes, c.BodyBytes) {
		if v[0] == "SCGI" {
			v = [2]string{"GATEWAY_INTERFACE", "CGI/1.1"}
		}
		params = appendSize(appendSize(params, len(v[0])), len(v[1]))
		params = append(append(params, v[0]...), v[1]...)
	}
	b := appendRecord(nil, fcgiBegin, []byte{0, 1, keep, 0, 0, 0, 0, 0})
	b = appendStream(b, fcgiParams, params)
	return appendStream(b, fcgiStdin, make([]byte, c.BodyBytes))
}

// appendSize appends a length in one byte or four (FastCGI §3.4).
func appendSize(b []byte, n int) []byte {
	if n < 128 {
		return append(b, byte(n))
	}
	return binary.BigEndian.AppendUint32(b, uint32(n)|1<<31)
}

func appendRecord(b []byte, kind byte, content []byte) []byte {
	b = append(b, 1, kind, 0, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(content)))
	return append(append(b, 0, 0), content...)
}

// appendStream appends content as records, and the empty record that ends it.
func appendStream(b []byte, kind byte, content []byte) []byte {
	for len(content) > 0 {
		n := min(len(content), 32<<10)
		b = appendRecord(b, kind, content[:n])
		content = content[n:]
	}
	return appendRecord(b, kind, nil)
}

// fcgiReply judges a reply by its records. Unless keep is true, the server also has
// to close the connection.
func fcgiReply(keep bool) judge {
	return func(got []byte, eof bool) verdict {
		ok, ended := fcgiScan(got)
		switch {
		case ended && (keep || eof) && ok:
			return good
		case ended && (keep || eof):
			return bad
		}
		return pending(eof)
	}
}

func fcgiScan(got []byte) (ok, ended bool) {
	for len(got) >= 8 {
		kind := got[1]
		size := int(binary.BigEndian.Uint16(got[4:]))
		next := 8 + size + int(got[6])
		if len(got) < next {
			return ok, false
		}
		ok = ok || kind == fcgiStdout && bytes.HasPrefix(got[8:8+size], []byte("Status: 200"))
		if kind == fcgiEnd {
			return ok, true
		}
		got = got[next:]
	}
	return ok, false
}
