package gateway

// request.go prepares a request for sending: its variables (RFC 3875 §4.1) and its body. It
// sends no name twice, and a client's header field can't pass for a variable of the web
// server.

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"example.com/scgi/internal/wire"
)

// block is a header block under construction, without CONTENT_LENGTH, which comes first.
type block struct {
	b   strings.Builder
	env map[string]string // the result of Transport.Env
	err error
}

// add adds a variable of the request, unless Transport.Env replaces it.
func (b *block) add(name, value string) {
	if _, ok := b.env[name]; !ok {
		b.append(name, value)
	}
}

func (b *block) append(name, value string) {
	if strings.ContainsAny(value, "\x00\r\n") {
		b.refuse("%s has a NUL byte or a line break: %.64q", name, value)
	}
	b.b.WriteString(name)
	b.b.WriteByte(0)
	b.b.WriteString(value)
	b.b.WriteByte(0)
}

func (b *block) refuse(format string, args ...any) {
	if b.err == nil {
		b.err = &requestError{fmt.Errorf(format, args...)}
	}
}

// variables returns the header block of req, still without CONTENT_LENGTH.
func (t *Transport) variables(req *http.Request) (string, error) {
	var b block
	if t.Env != nil {
		b.env = t.Env(req)
	}
	b.add("SCGI", "1")
	b.add("REQUEST_METHOD", cmp.Or(req.Method, http.MethodGet))
	b.addURL(req)
	b.add("SERVER_PROTOCOL", cmp.Or(req.Proto, "HTTP/1.1"))
	b.add("GATEWAY_INTERFACE", "CGI/1.1")
	b.add("SERVER_SOFTWARE", "go-scgi")
	b.addServer(req)
	if ip, port, err := net.SplitHostPort(req.RemoteAddr); err == nil {
		b.add("REMOTE_ADDR", ip)
		b.add("REMOTE_PORT", port)
	}
	b.addFields(req)
	b.addEnv()
	return b.b.String(), b.err
}

// addEnv adds the variables of Transport.Env in the order of their names.
func (b *block) addEnv() {
	for _, name := range slices.Sorted(maps.Keys(b.env)) {
		if !wire.IsToken(name) || name == "CONTENT_LENGTH" || name == "SCGI" {
			b.refuse("Transport.Env has the variable %.64q", name)
		}
		b.append(name, b.env[name])
	}
}

func (b *block) addURL(req *http.Request) {
	u := req.URL
	b.add("REQUEST_URI", requestURI(req))
	b.add("QUERY_STRING", u.RawQuery)
	b.add("SCRIPT_NAME", "")
	path := cmp.Or(u.Path, "/")
	if u.Opaque != "" || path == "*" {
		path = "" // PATH_INFO must begin with a slash
	}
	b.add("PATH_INFO", path)
}

// requestURI returns the URI as the client sent it, unless a handler has changed the URL
// since. URL.RequestURI may differ from it: if the client left unencoded a byte that package
// url encodes, URL.RequestURI encodes the path anew and loses a %2F.
func requestURI(req *http.Request) string {
	raw := req.RequestURI
	if _, rest, ok := strings.Cut(raw, "://"); ok && raw[0] != '/' { // absolute form
		raw = rest[max(0, strings.IndexByte(rest, '/')):]
	}
	u, err := url.ParseRequestURI(raw)
	if err != nil || raw[0] != '/' || u.Path != req.URL.Path || u.RawQuery != req.URL.RawQuery {
		return req.URL.RequestURI()
	}
	return raw
}

// addServer adds the name and port from Host, and takes from the listener what Host lacks.
func (b *block) addServer(req *http.Request) {
	host := url.URL{Host: requestHost(req)}
	port := host.Port()
	name := strings.TrimSuffix(host.Host, ":"+port)
	scheme, usual := "http", "80"
	if req.TLS != nil || req.URL.Scheme == "https" {
		scheme, usual = "https", "443"
	}
	local, _ := req.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local != nil && req.RemoteAddr != "" { // a server received req
		ip, listening, _ := net.SplitHostPort(local.String())
		name, port = cmp.Or(name, ip), cmp.Or(port, listening)
	}
	b.add("SERVER_NAME", name)
	b.add("SERVER_PORT", cmp.Or(port, usual))
	b.add("REQUEST_SCHEME", scheme)
	if scheme == "https" {
		b.add("HTTPS", "on")
	}
}

func requestHost(req *http.Request) string { return cmp.Or(req.Host, req.URL.Host) }

// addFields adds the header fields in the order of their names, and joins the values of a
// repeated field.
func (b *block) addFields(req *http.Request) {
	fields := canonical(req.Header)
	if values := fields["Content-Type"]; len(values) > 0 {
		b.add("CONTENT_TYPE", strings.Join(values, ", "))
	}
	if host := requestHost(req); host != "" {
		b.add("HTTP_HOST", host)
	}
	upgrade := isUpgrade(fields)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !wire.IsToken(name) {
			b.refuse("%.64q is no name of a header field", name)
		}
		if value, ok := fieldValue(name, fields[name], upgrade); ok {
			b.add(wire.Variable(name), value)
		}
	}
}

// fieldValue returns the value to send for a header field, and whether to send the field.
func fieldValue(name string, values []string, upgrade bool) (value string, ok bool) {
	separator := ", "
	switch name {
	case "Content-Length", "Content-Type", "Host": // these have variables of their own
		return "", false
	case "Proxy": // HTTP_PROXY would configure a CGI program (CVE-2016-5385)
		return "", false
	case "Connection", "Upgrade":
		if !upgrade {
			return "", false
		}
	case "User-Agent":
		if len(values) > 0 && values[0] == "" { // in net/http an empty value means none
			return "", false
		}
	case "Cookie":
		separator = "; "
	}
	// A field with a "_" would get the same variable as the field with a "-".
	ok = len(values) > 0 && !wire.IsHopByHop(name) && !strings.Contains(name, "_")
	return strings.Join(values, separator), ok
}

// canonical returns a copy of h with canonical names.
func canonical(h http.Header) http.Header {
	fields := make(http.Header, len(h))
	for _, key := range slices.Sorted(maps.Keys(h)) {
		name := http.CanonicalHeaderKey(key)
		fields[name] = append(fields[name], h[key]...)
	}
	return fields
}

func isUpgrade(fields http.Header) bool {
	options := strings.Split(strings.Join(fields["Connection"], ","), ",")
	return fields.Get("Upgrade") != "" && slices.ContainsFunc(options, func(option string) bool {
		return strings.EqualFold(strings.TrimSpace(option), "upgrade")
	})
}

// outgoing is a request ready to be sent.
type outgoing struct {
	head   []byte // the netstring
	body   *requestBody
	length int64
	ready  bool // reading the body does not block
}

// prepare prepares req for sending. If it fails, it closes body.
func (t *Transport) prepare(req *http.Request, body *requestBody) (*outgoing, error) {
	block, err := t.variables(req)
	if err == nil && body.none && req.ContentLength > 0 {
		err = &requestError{fmt.Errorf("a ContentLength of %d without a body", req.ContentLength)}
	}
	if err != nil {
		_ = body.Close()
		return nil, err
	}
	_, whole := req.Body.(*spooled)
	out := &outgoing{body: body, length: req.ContentLength, ready: whole || req.GetBody != nil}
	if req.ContentLength <= 0 && !body.none {
		s, err := t.spool(req.Context(), body)
		if err != nil {
			return nil, err
		}
		out.body, out.length, out.ready = newRequestBody(s), s.size, true
	}
	out.length = max(out.length, 0)
	length := strconv.FormatInt(out.length, 10)
	block = "CONTENT_LENGTH\x00" + length + "\x00" + block
	out.head = fmt.Appendf(nil, "%d:%s,", len(block), block)
	return out, nil
}

// requestBody is a request's body. Only the first Close closes it. Its errors are
// requestErrors, to tell them from the connection's.
type requestBody struct {
	io.ReadCloser
	none   bool
	closed atomic.Bool
}

func newRequestBody(body io.ReadCloser) *requestBody {
	if body == nil {
		body = http.NoBody
	}
	return &requestBody{ReadCloser: body, none: body == http.NoBody}
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := 0, http.ErrBodyReadAfterClose
	if !b.closed.Load() {
		n, err = b.ReadCloser.Read(p)
	}
	if err != nil && err != io.EOF {
		err = &requestError{fmt.Errorf("reading the request's body: %w", err)}
	}
	return n, err
}

func (b *requestBody) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return b.ReadCloser.Close()
}

// abandon closes b while another goroutine may be blocked in Read. The Close of some bodies,
// such as those of net/http's server, waits for that Read.
func (b *requestBody) abandon() {
	if !b.closed.Load() {
		go b.Close()
	}
}

// checkEnd looks for bytes of the body beyond its length. It may block, since the reader of
// the reply does not depend on it.
func (out *outgoing) checkEnd() error {
	var one [1]byte
	if n, _ := out.body.Read(one[:]); n > 0 {
		return &requestError{fmt.Errorf("the body is longer than its ContentLength of %d", out.length)}
	}
	return nil
}
