package scgi

// request.go has the request: the header block as an Env, the rules of SCGI for it, and
// the body. The server checks a header before it serves the request, and hands out no
// byte past the body. A handler may keep an Env: it is immutable.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"math/bits"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"example.com/scgi/internal/socket"
	"example.com/scgi/internal/wire"
)

// A Request is one HTTP request as the web server passed it on.
//
// A handler's test can make one as a literal, with [NewEnv] for the variables.
type Request struct {
	// Env holds the request's variables (RFC 3875 §4.1).
	Env Env

	// ContentLength is the size of the client's body in bytes: CONTENT_LENGTH,
	// or HTTP_CONTENT_LENGTH if that is greater.
	ContentLength int64

	// Body is the request's body, never nil in a handler. It ends with io.EOF
	// after exactly ContentLength bytes, and with io.ErrUnexpectedEOF if the
	// peer ended it before. If HTTP_CONTENT_LENGTH is greater than
	// CONTENT_LENGTH, the web server has not passed on the body, or not all of
	// it, and the first Read fails: nginx does so for auth_request, error_page
	// and X-Accel-Redirect, and before 1.29.6 with scgi_request_buffering off.
	// The handler need not read or close Body.
	Body io.ReadCloser

	ctx  context.Context                    // nil: Background
	peer interface{ RemoteAddr() net.Addr } // nil: made by hand
}

// Context returns the request's context. It is cancelled when the peer goes
// away, when the Server is closed, and when the handler returns. It is never
// nil.
//
// A peer on TCP counts as gone when its input ends, unless
// Server.AllowHalfClose says otherwise. Watching for that costs nothing until
// the context is first asked.
func (r *Request) Context() context.Context {
	return cmp.Or(r.ctx, context.Background())
}

// WithContext returns a shallow copy of r with its context changed to ctx,
// which must not be nil.
func (r *Request) WithContext(ctx context.Context) *Request {
	if ctx == nil {
		panic("scgi: nil context")
	}
	r2 := *r
	r2.ctx = ctx
	return &r2
}

// RemoteAddr returns the address of the peer on the SCGI connection: the web
// server, not its client, whose address is REMOTE_ADDR. It is nil for a Request
// that did not come from a Server.
func (r *Request) RemoteAddr() net.Addr {
	if r.peer == nil {
		return nil
	}
	return r.peer.RemoteAddr()
}

type requestKey struct{}

// FromContext returns the Request that ctx belongs to. It is how a net/http
// handler behind [HTTPHandler] reads REMOTE_USER and every other variable:
//
//	r, ok := scgi.FromContext(req.Context())
func FromContext(ctx context.Context) (r *Request, ok bool) {
	r, ok = ctx.Value(requestKey{}).(*Request)
	return r, ok
}

// Env is the variables of a request, in the order they were sent. Names are
// never empty; values may be, and may hold any byte but NUL. An Env is
// immutable, valid for as long as it is kept, and safe for concurrent use. The
// zero Env is empty.
//
// Web servers do send a name twice. Get and Lookup answer the last value, but
// of CONTENT_LENGTH the first, which is the one that frames the body; All
// yields every pair.
type Env struct {
	block string // name NUL value NUL ...
}

// NewEnv returns the Env of the names and values given in turn. It panics if a
// value is missing, a name is empty, or any has a NUL byte.
func NewEnv(namesAndValues ...string) Env {
	if len(namesAndValues)%2 != 0 {
		panic("scgi: NewEnv: odd number of arguments")
	}
	var b strings.Builder
	for i, s := range namesAndValues {
		if strings.IndexByte(s, 0) >= 0 || i%2 == 0 && s == "" {
			panic(fmt.Sprintf("scgi: NewEnv: %q is no name or value", s))
		}
		b.WriteString(s)
		b.WriteByte(0)
	}
	return Env{b.String()}
}

// Get returns the value of the variable called name, or "" if there is none.
func (e Env) Get(name string) string {
	value, _ := e.Lookup(name)
	return value
}

// Lookup returns the value of the variable called name, and whether there is
// one.
func (e Env) Lookup(name string) (value string, ok bool) {
	for rest := e.block; rest != ""; {
		var n, v string
		n, v, rest = cutPair(rest)
		if n == name {
			value, ok = v, true
			if name == "CONTENT_LENGTH" {
				break
			}
		}
	}
	return value, ok
}

// All yields every name and value in the order they were sent.
func (e Env) All() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for rest := e.block; rest != ""; {
			var name, value string
			name, value, rest = cutPair(rest)
			if !yield(name, value) {
				return
			}
		}
	}
}

// Len returns the number of pairs.
func (e Env) Len() int { return strings.Count(e.block, "\x00") / 2 }

// Environ returns the variables as "NAME=value" strings for os/exec, each name
// once, with the value that Get returns. HTTP_PROXY is left out, since a
// client's header must not configure a program (CVE-2016-5385), and so are
// names with a "=". All else is passed on: hand it only to a program that a
// peer may give any variable, PATH and LD_PRELOAD among them.
func (e Env) Environ() []string {
	at := make(map[string]int)
	var environ []string
	for name, value := range e.All() {
		i, repeated := at[name]
		switch {
		case strings.EqualFold(name, "HTTP_PROXY") || strings.Contains(name, "="):
		case !repeated:
			at[name] = len(environ)
			environ = append(environ, name+"="+value)
		case name != "CONTENT_LENGTH":
			environ[i] = name + "=" + value
		}
	}
	return environ
}

// cutPair splits the first name and value off a checked block.
func cutPair(block string) (name, value, rest string) {
	i := indexNUL(block, 0)
	j := indexNUL(block, i+1)
	return block[:i], block[i+1 : j], block[j+1:]
}

// indexNUL is the index of the first NUL byte of s at or after i; there is one.
// Names and most values are short: eight bytes at a time, without a call, take
// 14 ns a variable of a browser's request, strings.IndexByte 20.
func indexNUL(s string, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		if m := (w - ones) &^ w & highs; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for s[i] != 0 {
		i++
	}
	return i
}

// A refusal says how to answer a request that is not served, which rule it broke, and
// what its variables are, where they could be read.
type refusal struct {
	status int
	reason error
	env    Env
}

// One reason for each rule of SCGI §3 and §4.
var (
	errHeaderUnterminated = errors.New("the header does not end with a NUL byte")
	errHeaderOdd          = errors.New("the header has a name without a value")
	errHeaderName         = errors.New("the header has an empty name")
	errHeaderDuplicate    = errors.New("the header has a name twice")
	errHeaderMany         = fmt.Errorf("the header has more than %d variables", maxVariables)
	errLengthMissing      = errors.New("no CONTENT_LENGTH")
	errLengthSyntax       = errors.New("CONTENT_LENGTH or HTTP_CONTENT_LENGTH is not a decimal number that fits 63 bits")
	errLengthTwice        = errors.New("a second CONTENT_LENGTH differs from the first")
	errLengthNotFirst     = errors.New("CONTENT_LENGTH is not the first variable")
	errVersionMissing     = errors.New(`no SCGI variable; in nginx, add "include scgi_params;" or "scgi_param SCGI 1;"`)
	errVersion            = errors.New("the SCGI variable is not 1")
	errBodyCut            = errors.New("HTTP_CONTENT_LENGTH is greater than CONTENT_LENGTH")
	errBodyLimit          = errors.New("the body is longer than the limit")
)

// maxVariables bounds the variables of a request, since a short one costs many
// times its bytes in an http.Header. It is nginx's default for max_headers,
// which it has since 1.29.8; no request seen from a web server had 200.
const maxVariables = 1000

// errBodyNotPassed is the error of reading a body that the web server has kept back.
var errBodyNotPassed = errors.New("scgi: the web server has not passed on the whole body: HTTP_CONTENT_LENGTH is greater than CONTENT_LENGTH (a request of its own, or scgi_request_buffering off in nginx before 1.29.6)")

// header holds what the server itself needs of a header block.
type header struct {
	length int64 // of the body that is passed on
	client int64 // the greatest HTTP_CONTENT_LENGTH: of the body that the client has sent
	isHead bool  // REQUEST_METHOD is HEAD
	isGet  bool  // REQUEST_METHOD is GET
	isSent bool  // HTTP_TRANSFER_ENCODING is there: the client did send a body
}

// isCut reports whether the client has sent more than the web server passes on.
func (h header) isCut() bool { return h.client > h.length }

// alone reports whether the request is known to end with its header.
func (h header) alone() bool {
	return h.length == 0 && !h.isCut() && (h.isGet || h.isHead) && !h.isSent
}

// parseHeader checks block by the rules of SCGI §3, and with strict by their
// letter.
func parseHeader(block string, strict bool) (header, error) {
	h := header{length: -1}
	if block != "" && block[len(block)-1] != 0 {
		return h, errHeaderUnterminated
	}
	if strings.Count(block, "\x00") > 2*maxVariables {
		return h, errHeaderMany
	}
	version := false
	for i := 0; i < len(block); {
		start := i
		name := block[i:indexNUL(block, i)]
		i += len(name) + 1
		if i == len(block) {
			return h, errHeaderOdd
		}
		value := block[i:indexNUL(block, i)]
		i += len(value) + 1
		switch name {
		case "":
			return h, errHeaderName
		case "CONTENT_LENGTH":
			n, ok := wire.ParseDecimal(value)
			switch {
			case h.length < 0 && !ok:
				return h, errLengthSyntax
			case h.length < 0 && strict && start > 0:
				return h, errLengthNotFirst
			case h.length < 0:
				h.length = n
			case value != "" && (!ok || n != h.length):
				return h, errLengthTwice
			}
		case "SCGI":
			if value != "1" {
				return h, errVersion
			}
			version = true
		case "REQUEST_METHOD":
			h.isGet, h.isHead = value == "GET", value == "HEAD"
		case "HTTP_TRANSFER_ENCODING":
			h.isSent = true
		case "HTTP_CONTENT_LENGTH":
			n, ok := wire.ParseDecimal(value)
			if n == math.MaxInt64 && !ok {
				return h, errLengthSyntax
			}
			h.client = max(h.client, n)
		}
	}
	switch {
	case h.length < 0:
		return h, errLengthMissing
	case !version:
		return h, errVersionMissing
	case strict && h.isCut():
		return h, errBodyCut
	case strict && len(maps.Collect(Env{block}.All())) < (Env{block}).Len():
		return h, errHeaderDuplicate
	}
	return h, nil
}

// body is a Request's body: what came with the header, then the connection, up
// to CONTENT_LENGTH.
type body struct {
	conn   io.Reader
	length int64      // CONTENT_LENGTH
	isCut  bool       // the client has sent more: nothing can be read
	mu     sync.Mutex // held while reading
	early  string     // the part that came with the header
	left   atomic.Int64
	closed atomic.Bool
	onRead atomic.Pointer[func()] // called once nothing is left
}

// taken returns the number of bytes that were read.
func (b *body) taken() int64 { return b.length - b.left.Load() }

// whenRead calls f if nothing of the body is left, and otherwise has the read that takes
// the last byte call it. Both may happen.
func (b *body) whenRead(f func()) {
	b.onRead.Store(&f)
	if b.left.Load() == 0 {
		f()
	}
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.left.Load()
	switch {
	case b.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.isCut:
		return 0, errBodyNotPassed
	case left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	p = p[:min(int64(len(p)), left)]
	var n int
	var err error
	if b.early != "" {
		n = copy(p, b.early)
		b.early = b.early[n:]
	} else {
		n, err = b.conn.Read(p)
	}
	b.left.Store(left - int64(n))
	if f := b.onRead.Load(); f != nil && left == int64(n) {
		(*f)()
	}
	switch {
	case n > 0:
		return n, nil // an error will be there again
	case err == io.EOF:
		return 0, io.ErrUnexpectedEOF
	case b.closed.Load() || err == socket.ErrDropped:
		return 0, http.ErrBodyReadAfterClose
	}
	return 0, err
}

// Close makes later reads fail. What is left of the body is the connection's to
// drain.
func (b *body) Close() error {
	b.closed.Store(true)
	return nil
}

// takeEarly returns the bytes that came with the header and were not read.
func (b *body) takeEarly() (early string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	early, b.early = b.early, ""
	return early
}
