//go:build unix

package cgihost

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

func TestReplies(t *testing.T) {
	long := strings.Repeat("x", maxHeaderBytes)
	for name, test := range map[string]struct {
		output string // argument of printf
		head   string // a line that the reply's head must contain
		page   string
	}{
		"CRLF":                {`A: b\r\n\r\npage`, "A: b", "page"},
		"LF":                  {`A: b\n\npage`, "A: b", "page"},
		"no body":             {`Content-Type: text/plain\n\n`, "Content-Length: 0", ""},
		"status":              {`Status: 404 Gone Fishing\n\npage`, "Status: 404 Not Found", "page"},
		"bare status":         {`Status: 201\n\npage`, "Status: 201 Created", "page"},
		"redirect":            {`Location: http://x/\n\n`, "Status: 302 Found", ""},
		"redirect, status":    {`Location: /x\nStatus: 307\n\n`, "Status: 307 Temporary Redirect", ""},
		"no parsed headers":   {`HTTP/1.1 418 Short\r\nA: b\r\n\r\npage`, "Status: 418 I'm a teapot", "page"},
		"nothing but status":  {`HTTP/1.0 202 Accepted\r\n\r\npage`, "Status: 202 Accepted", "page"},
		"two fields":          {`Set-Cookie: a\nSet-Cookie: b\n\npage`, "Set-Cookie: b", "page"},
		"length":              {`Content-Length: 4\n\npage\nmore`, "Content-Length: 4", "page"},
		"length is no number": {`Content-Length: +2\n\npage`, "Content-Length: 4", "page"},
		"no body allowed":     {`Status: 204\n\npage`, "Status: 204 No Content", ""},
		"binary":              {`A: b\n\n\001\377\0\n`, "A: b", "\x01\xff\x00\n"},

		"nothing":           {``, "Status: 500 Internal Server Error", "500 Internal Server Error\n"},
		"header cut":        {`A: b\n`, "Status: 500 Internal Server Error", "500 Internal Server Error\n"},
		"line cut":          {`A: b`, "Status: 500 Internal Server Error", "500 Internal Server Error\n"},
		"status line cut":   {`HTTP/1.1 200`, "Status: 500 Internal Server Error", "500 Internal Server Error\n"},
		"no header":         {`\n\npage`, "Status: 500 Internal Server Error", "500 Internal Server Error\n"},
		"a page only":       {`<p>page</p>\n\n`, "Status: 500 Internal Server Error", "500 Internal Server Error\n"},
		"informational":     {`Status: 100\n\npage`, "Status: 500 Internal Server Error", "500 Internal Server Error\n"},
		"upgrade":           {`Status: 101\n\npage`, "Status: 500 Internal Server Error", "500 Internal Server Error\n"},
		"status is a word":  {`Status: ok\n\npage`, "Status: 500 Internal Server Error", "500 Internal Server Error\n"},
		"header too long":   {`A: ` + long + `\n\npage`, "Status: 500 Internal Server Error", "500 Internal Server Error\n"},
		"less than length":  {`Content-Length: 9\n\npage`, "Status: 500 Internal Server Error", "Internal Server Error\n"},
		"body before field": {`page A: b\n\n`, "Status: 200 OK", ""}, // the Server drops the field
	} {
		s := serve(t, &Host{Path: program(t, "printf '"+test.output+"'")})
		head, page := s.ask(t, "")
		if !strings.Contains(head+"\n", test.head+"\n") || page != test.page {
			t.Errorf("%s: got %q %q, want %q in it and %q", name, head, page, test.head, test.page)
		}
		if isError := strings.Contains(s.log.String(), "level=ERROR"); isError != (status(test.head) == "500") {
			t.Errorf("%s: the log has %q", name, &s.log)
		}
	}
}

// readHeader returns io.EOF for a header that ends early, unlike for a malformed
// one.
func TestCutHeader(t *testing.T) {
	lines := strings.SplitAfter("HTTP/1.1 200 OK\r\nA: b\r\nC:\r\n d\r\n\r\n", "\n")
	text := ""
	for _, line := range lines[:len(lines)-1] {
		if _, _, err := readHeader(bufio.NewReader(strings.NewReader(text))); err != io.EOF {
			t.Errorf("%q: got %v", text, err)
		}
		text += line
	}
	if _, _, err := readHeader(bufio.NewReader(strings.NewReader(text))); err != nil {
		t.Error(err)
	}
}

// A page without a Content-Type is sent without one.
func TestTypeIsNotSniffed(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'A: b\n\n<html>'`)})
	if head, _ := s.ask(t, ""); strings.Contains(head, "Content-Type") {
		t.Errorf("got %q", head)
	}
}

func TestHeadHasNoBody(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'Content-Length: 4\n\npage'`)})
	if head, page := s.ask(t, "", "REQUEST_METHOD", "HEAD"); page != "" || !strings.Contains(head, "Content-Length: 4") {
		t.Errorf("got %q %q", head, page)
	}
}

func TestLongPageIsWhole(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `printf 'A: b\n\n'; head -c 5000000 /dev/zero`)})
	if _, page := s.ask(t, ""); page != string(make([]byte, 5_000_000)) {
		t.Errorf("got %d bytes", len(page))
	}
}

// The exit status of a program without a reply is logged.
func TestMissingReplyLogsExit(t *testing.T) {
	s := serve(t, &Host{Path: program(t, `echo why >&2; exit 3`)})
	s.ask(t, "")
	s.wantLog(t, "exit status 3", "line=why")
}
