package scgi

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"example.com/scgi/internal/scgitest"
	"example.com/scgi/internal/wire"
)

func TestEnv(t *testing.T) {
	e := NewEnv("CONTENT_LENGTH", "5", "A", "1", "EMPTY", "", "A", "2", "CONTENT_LENGTH", "", "HTTP_PROXY", "evil", "X=Y", "z")
	for name, want := range map[string]string{"A": "2", "EMPTY": "", "CONTENT_LENGTH": "5", "a": "", "1": ""} {
		if got := e.Get(name); got != want {
			t.Errorf("Get(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]bool{"EMPTY": true, "NONE": false, "": false, "5": false} {
		if _, ok := e.Lookup(name); ok != want {
			t.Errorf("Lookup(%q) = %t", name, ok)
		}
	}
	var all []string
	for name, value := range e.All() {
		all = append(all, name+"="+value)
	}
	want := []string{"CONTENT_LENGTH=5", "A=1", "EMPTY=", "A=2", "CONTENT_LENGTH=", "HTTP_PROXY=evil", "X=Y=z"}
	if !slices.Equal(all, want) || e.Len() != len(want) {
		t.Errorf("All yields %q, Len is %d", all, e.Len())
	}
	if got, want := e.Environ(), []string{"CONTENT_LENGTH=5", "A=2", "EMPTY="}; !slices.Equal(got, want) {
		t.Errorf("Environ is %q, want %q", got, want)
	}
	for range e.All() {
		break // All must stop here
	}
	var none Env
	if none.Len() != 0 || none.Get("A") != "" || len(none.Environ()) != 0 {
		t.Error("the zero Env is not empty")
	}
}

func TestNewEnvPanics(t *testing.T) {
	for _, args := range [][]string{{"A"}, {"", "x"}, {"A\x00B", "x"}, {"A", "\x00"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewEnv(%q) did not panic", args)
				}
			}()
			NewEnv(args...)
		}()
	}
}

func TestWithContextRefusesNil(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("WithContext accepted a nil context")
		}
	}()
	new(Request).WithContext(nil) //lint:ignore SA1012 the test needs a nil context
}

func TestParseHeaderReasons(t *testing.T) {
	block := func(kv ...string) string { return strings.Join(kv, "\x00") + "\x00" }
	for _, test := range []struct {
		block  string
		strict bool
		err    error
	}{
		{block("CONTENT_LENGTH", "0", "SCGI", "1"), true, nil},
		{"CONTENT_LENGTH\x000\x00SCGI\x001", false, errHeaderUnterminated},
		{block("CONTENT_LENGTH", "0", "SCGI"), false, errHeaderOdd},
		{block("", "0"), false, errHeaderName},
		{"", false, errLengthMissing},
		{block("SCGI", "1"), false, errLengthMissing},
		{block("CONTENT_LENGTH", "x", "SCGI", "1"), false, errLengthSyntax},
		{block("CONTENT_LENGTH", "1", "CONTENT_LENGTH", "2", "SCGI", "1"), false, errLengthTwice},
		{block("SCGI", "1", "CONTENT_LENGTH", "0"), true, errLengthNotFirst},
		{block("CONTENT_LENGTH", "0"), false, errVersionMissing},
		{block("CONTENT_LENGTH", "0", "SCGI", "2"), false, errVersion},
		{block("CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_CONTENT_LENGTH", "9223372036854775808"), false, errLengthSyntax},
		{block("CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_CONTENT_LENGTH", "1"), true, errBodyCut},
		{block("CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_CONTENT_LENGTH", "1"), false, nil},
		{block("CONTENT_LENGTH", "0", "SCGI", "1", "A", "", "A", ""), true, errHeaderDuplicate},
		{block("CONTENT_LENGTH", "0", "SCGI", "1", "A", "", "A", ""), false, nil},
	} {
		if _, err := parseHeader(test.block, test.strict); !errors.Is(err, test.err) || test.err == nil && err != nil {
			t.Errorf("parseHeader(%q, %t): %v, want %v", test.block, test.strict, err, test.err)
		}
	}
}

// Only a GET or HEAD without a body is known to have nothing after its header.
func TestHeaderAlone(t *testing.T) {
	for _, test := range []struct {
		h    header
		want bool
	}{
		{header{isGet: true}, true},
		{header{isHead: true}, true},
		{header{}, false},
		{header{isGet: true, length: 1}, false},
		{header{isGet: true, client: 1}, false},
		{header{isHead: true, length: 1}, false},
		{header{isGet: true, isSent: true}, false},
		{header{isHead: true, isSent: true}, false},
	} {
		if got := test.h.alone(); got != test.want {
			t.Errorf("%+v: %t", test.h, got)
		}
	}
}

func newBody(early, rest string, length int) *body {
	b := &body{conn: strings.NewReader(rest), early: early}
	b.left.Store(int64(length))
	return b
}

func TestBodyReader(t *testing.T) {
	content := strings.Repeat("body ", 100)
	for cut := range 11 {
		b := newBody(content[:cut*50], content[cut*50:]+"stray", len(content))
		if err := iotest.TestReader(b, []byte(content)); err != nil {
			t.Errorf("%d bytes early: %v", cut*50, err)
		}
	}
}

func TestBodyEnds(t *testing.T) {
	var end [1]byte
	b := newBody("", "", 0)
	if _, err := b.Read(end[:]); err != io.EOF {
		t.Errorf("an empty body ends with %v", err)
	}
	got, err := io.ReadAll(newBody("ab", "c", 4))
	if string(got) != "abc" || err != io.ErrUnexpectedEOF {
		t.Errorf("a short body: %q, %v", got, err)
	}
	rest := strings.NewReader("cdstray")
	b = &body{conn: rest, early: "ab"}
	b.left.Store(4)
	if got, err := io.ReadAll(b); string(got) != "abcd" || err != nil || rest.Len() != 5 {
		t.Errorf("a body with bytes after it: %q, %v, %d bytes left", got, err, rest.Len())
	}
	b = newBody("ab", "", 2)
	b.Close()
	if _, err := b.Read(end[:]); err != http.ErrBodyReadAfterClose {
		t.Errorf("a closed body: %v", err)
	}
}

func TestBodyReadErrors(t *testing.T) {
	b := &body{conn: iotest.ErrReader(errTest)}
	b.left.Store(4)
	if n, err := b.Read(nil); n != 0 || err != nil {
		t.Errorf("an empty read: %d, %v", n, err)
	}
	if n, err := b.Read(make([]byte, 4)); n != 0 || !errors.Is(err, errTest) {
		t.Errorf("a failed read: %d, %v", n, err)
	}
	b.Close()
	if n, err := b.Read(make([]byte, 4)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("a read after Close: %d, %v", n, err)
	}
}

// whenRead calls its function when the last byte of the body has been read, and not earlier.
func TestWhenReadCallsAfterLastByte(t *testing.T) {
	told := 0
	b := &body{conn: strings.NewReader("cd"), early: "ab"}
	b.left.Store(4)
	b.whenRead(func() { told++ })
	for i, want := range []int{0, 0, 0, 1} {
		if _, err := b.Read(make([]byte, 1)); err != nil || told != want {
			t.Errorf("after %d bytes: told %d times, %v", i+1, told, err)
		}
	}
	b.whenRead(func() { told++ })
	if told != 2 {
		t.Error("a late function was not called")
	}
}

// Invariants: parseHeader never panics. What it accepts obeys the grammar, and has SCGI=1
// and a CONTENT_LENGTH that Get agrees with. Strict accepts no more. The Env has the
// grammar's pairs and encodes to the same bytes.
func FuzzHeader(f *testing.F) {
	for _, v := range scgitest.Vectors(f) {
		if start, end, err := cutNetstring([]byte(v.Input), 1<<20); err == nil && end > 0 && end < len(v.Input) {
			f.Add(v.Input[start:end])
		}
	}
	f.Fuzz(func(t *testing.T, block string) {
		h, err := parseHeader(block, false)
		pairs, grammatical := scgitest.ParseGrammar([]byte(block))
		if _, strictErr := parseHeader(block, true); err != nil && strictErr == nil {
			t.Fatalf("strict accepts %q, which is refused: %v", block, err)
		}
		if err != nil {
			return
		}
		e := Env{block}
		if !grammatical || e.Get("SCGI") != "1" || h.length < 0 {
			t.Fatalf("accepted: %q", block)
		}
		if n, ok := wire.ParseDecimal(e.Get("CONTENT_LENGTH")); !ok || n != h.length {
			t.Fatalf("CONTENT_LENGTH is %d, Get says %q", h.length, e.Get("CONTENT_LENGTH"))
		}
		var again []string
		for name, value := range e.All() {
			if pair := pairs[len(again)/2]; pair != [2]string{name, value} {
				t.Fatalf("All yields %q=%q, the grammar %q", name, value, pair)
			}
			again = append(again, name, value)
		}
		if NewEnv(again...) != e || e.Len() != len(pairs) {
			t.Fatalf("%q does not encode to itself", block)
		}
	})
}

// typical is the header block of a browser's request through nginx.
var typical = NewEnv("CONTENT_LENGTH", "0", "REQUEST_METHOD", "GET", "REQUEST_URI", "/?pizza=hawaii&drink=beer",
	"QUERY_STRING", "pizza=hawaii&drink=beer", "CONTENT_TYPE", "", "DOCUMENT_URI", "/", "DOCUMENT_ROOT", "/srv/www",
	"SCGI", "1", "SERVER_PROTOCOL", "HTTP/1.1", "REQUEST_SCHEME", "http", "REMOTE_ADDR", "203.0.113.9", "REMOTE_PORT", "47088",
	"SERVER_PORT", "80", "SERVER_NAME", "example.com", "HTTP_HOST", "example.com",
	"HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
	"HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "HTTP_ACCEPT_LANGUAGE", "en-US,en;q=0.5",
	"HTTP_ACCEPT_ENCODING", "gzip, deflate, br", "HTTP_COOKIE", "session=0123456789abcdef0123456789abcdef; theme=dark")

func BenchmarkParseHeader(b *testing.B) {
	blocks := map[string]string{
		"typical": typical.block,
		"many":    typical.block + strings.Repeat("a\x00\x00", maxVariables-typical.Len()),
		"64KiB":   typical.block + strings.Repeat("HTTP_X_SOME_NAME\x00"+strings.Repeat("v", 220)+"\x00", 1<<16/238),
	}
	for name, block := range blocks {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(block)))
			n := float64(Env{block}.Len())
			for b.Loop() {
				if _, err := parseHeader(block, false); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/variable")
		})
	}
}

func BenchmarkEnvGet(b *testing.B) {
	for b.Loop() {
		if typical.Get("QUERY_STRING") == "" {
			b.Fatal("the variable is missing")
		}
	}
}
