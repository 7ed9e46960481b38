package scgi

// http.go makes an http.Request of a Request. The result is what net/http's own server
// would have made of the client's request. What net/http would refuse is refused here,
// and nothing is guessed from parts that web servers fill in differently. url.go makes
// the URL.

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"

	"example.com/scgi/internal/wire"
)

// HTTPHandler makes a [Handler] of h. The http.Request is what net/http's own
// server makes of the same request, with these rules:
//
//   - URL and RequestURI are REQUEST_URI as the client sent it, whether the app
//     is mounted at the root or under a prefix; for routes without the prefix
//     wrap h in [http.StripPrefix].
//   - If the web server means another path than REQUEST_URI has, decoded and
//     cleaned, both are made of DOCUMENT_URI, which nginx sends, or else of
//     SCRIPT_NAME and PATH_INFO, and of QUERY_STRING. It does so for
//     auth_request, X-Accel-Redirect, rewrites, error pages and SSI, and where
//     it has resolved dots that REQUEST_URI hides, as in /a/%2e%2e/b. If only
//     the query is another one, QUERY_STRING takes its place. What the client
//     sent is the variable REQUEST_URI.
//   - RemoteAddr is REMOTE_ADDR and REMOTE_PORT: the web server's client.
//   - Host is HTTP_HOST, or SERVER_NAME if there is none. Of several that
//     differ only in the port it is the last, since that is what the author of
//     the web server's configuration meant.
//   - TLS is non-nil, without details, if HTTPS is on.
//   - Header has the HTTP_ variables, every value of a repeated one. Proxy is
//     left out (CVE-2016-5385), as are Transfer-Encoding and Trailer, which
//     end at the web server. X_Y and X-Y of the client can't be told apart.
//   - ContentLength is the client's, and reading Body fails, where the web
//     server has not passed on the whole body (see [Request]).
//   - Every other variable, REMOTE_USER for one, is read through [FromContext].
//   - Context has [http.LocalAddrContextKey], the address that the web server
//     connected to, and [http.ServerContextKey], an http.Server that does not
//     serve.
//   - What ParseMultipartForm has put on disk is removed when h has returned.
//
// The reply is net/http's too: a Location without a status is sent with 200, and
// not with 302 as from a native Handler (RFC 3875 §6.2.3). Apache follows such a
// Location by itself unless ProxySCGIInternalRedirect is off.
//
// A request that net/http would not have accepted is answered with 400.
func HTTPHandler(h http.Handler) Handler { return httpHandler{h} }

type httpHandler struct{ http.Handler }

func (h httpHandler) ServeSCGI(w http.ResponseWriter, r *Request) {
	req, err := newHTTPRequest(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if own := responseOf(w); own != nil {
		own.plain = true
	}
	defer func() {
		if req.MultipartForm != nil {
			_ = req.MultipartForm.RemoveAll()
		}
	}()
	h.ServeHTTP(w, req)
}

var (
	errMethod      = errors.New("REQUEST_METHOD is not a method")
	errURI         = errors.New("REQUEST_URI is not a URI")
	errHost        = errors.New("a malformed HTTP_HOST, or several that name different hosts")
	errHeaderField = errors.New("a header field that HTTP does not allow")
)

// cgiVars holds the variables that become an http.Request, except the header fields.
type cgiVars struct {
	method, uri, query, proto  string
	scriptName, pathInfo       string
	documentURI                string
	host, serverName           string
	remoteAddr, remotePort     string
	contentType, contentLength string
	https                      string
	headers                    int
	hostsDiffer                bool
	saidLength                 bool // by the client
	saidQuery                  bool // QUERY_STRING is there
	isIncluded                 bool // by SSI in the page that DOCUMENT_URI names
	isGarbled                  bool // SCRIPT_NAME and PATH_INFO are no path
}

func (v *cgiVars) set(name, value string) {
	switch name {
	case "REQUEST_METHOD":
		v.method = value
	case "REQUEST_URI":
		v.uri = value
	case "QUERY_STRING":
		v.query, v.saidQuery = value, true
	case "SERVER_PROTOCOL":
		v.proto = value
	case "SCRIPT_NAME":
		v.scriptName = value
	case "PATH_INFO":
		v.pathInfo = value
	case "DOCUMENT_URI":
		v.documentURI = value
	case "DOCUMENT_NAME":
		v.isIncluded = true
	case "proxy-scgi-pathinfo": // Apache's own, with which it sends a part twice, once undecoded
		v.isGarbled = true
	case "SERVER_NAME":
		v.serverName = value
	case "REMOTE_ADDR":
		v.remoteAddr = value
	case "REMOTE_PORT":
		v.remotePort = value
	case "CONTENT_TYPE":
		v.contentType = strings.Trim(value, " \t")
	case "CONTENT_LENGTH":
		if v.contentLength == "" {
			v.contentLength = value
		}
	case "HTTP_CONTENT_LENGTH":
		v.saidLength = true
	case "HTTPS":
		v.https = value
	case "HTTP_HOST":
		// nginx's configuration repeats it, first Debian's $host, then what its
		// user adds to have the port. A client's second Host passes none of the
		// web servers.
		if value != "" {
			v.hostsDiffer = v.hostsDiffer || v.host != "" && !strings.EqualFold(hostname(value), hostname(v.host))
			v.host = value
		}
	default:
		if strings.HasPrefix(name, "HTTP_") {
			v.headers++
		}
	}
}

func newHTTPRequest(r *Request) (*http.Request, error) {
	var v cgiVars
	for name, value := range r.Env.All() {
		v.set(name, value)
	}
	header, err := v.header(r.Env, r.ContentLength)
	if err != nil {
		return nil, err
	}
	uri, u, err := v.url()
	if err != nil {
		return nil, err
	}
	req := http.Request{
		Method:        v.requestMethod(r.ContentLength),
		URL:           u,
		Header:        header,
		Body:          r.Body,
		ContentLength: r.ContentLength,
		Host:          v.host,
		RemoteAddr:    v.remote(r),
		RequestURI:    uri,
	}
	req.Proto, req.ProtoMajor, req.ProtoMinor = protocol(v.proto)
	switch {
	case !wire.IsToken(req.Method):
		return nil, errMethod
	case v.hostsDiffer || !isHost(v.host):
		return nil, errHost
	case u.Host != "":
		req.Host = u.Host // an absolute URI outranks the field (RFC 9112 §3.2.2)
	case v.host == "":
		req.Host = v.serverName
	}
	if r.ContentLength == 0 || r.Body == nil {
		req.Body = http.NoBody
	}
	if v.https == "1" || strings.EqualFold(v.https, "on") {
		req.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	return req.WithContext(contextOf(r)), nil
}

// contextOf returns r's context, with r in it for FromContext.
func contextOf(r *Request) context.Context {
	ctx := r.Context()
	if found, _ := FromContext(ctx); found == r {
		return ctx
	}
	return context.WithValue(ctx, requestKey{}, r)
}

// requestMethod returns REQUEST_METHOD, or what the body suggests if there is none.
func (v *cgiVars) requestMethod(contentLength int64) string {
	switch {
	case v.method != "":
		return v.method
	case contentLength > 0:
		return http.MethodPost
	}
	return http.MethodGet
}

// protocol parses SERVER_PROTOCOL. If it is missing or names no version, as INCLUDED
// (RFC 3875 §4.1.16), the result is HTTP/1.0, which promises least.
func protocol(s string) (proto string, major, minor int) {
	switch s {
	case "HTTP/2":
		s = "HTTP/2.0"
	case "HTTP/3":
		s = "HTTP/3.0"
	}
	if major, minor, ok := http.ParseHTTPVersion(s); ok {
		return s, major, minor
	}
	return "HTTP/1.0", 1, 0
}

// remote returns the client's address in net/http's form, or the peer's address if the
// request has none.
func (v *cgiVars) remote(r *Request) string {
	switch {
	case v.remoteAddr == "" && r.RemoteAddr() != nil:
		return r.RemoteAddr().String()
	case v.remotePort != "":
		return net.JoinHostPort(v.remoteAddr, v.remotePort)
	case net.ParseIP(v.remoteAddr) != nil:
		return net.JoinHostPort(v.remoteAddr, "0")
	}
	return v.remoteAddr // "unix:", or with its port already
}

func (v *cgiVars) header(env Env, length int64) (http.Header, error) {
	// Content-Type and Content-Length come from their own variables.
	fields := v.headers + 2
	header := make(http.Header, min(fields, usualFields)) // there may be one name only
	values := make([]string, 0, fields)                   // one array for all
	add := func(name, value string) {
		if old := header[name]; old != nil {
			header[name] = append(old, value)
			return
		}
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if !wire.IsFieldValue(v.contentType) {
		return nil, errHeaderField
	}
	if v.contentType != "" {
		add("Content-Type", v.contentType)
	}
	for name, value := range env.All() {
		if len(name) < 5 || name[:5] != "HTTP_" {
			continue
		}
		field, ok := wire.FieldName(name[5:])
		switch field {
		case "Host", "Proxy", "Transfer-Encoding", "Trailer", "Content-Length":
			continue
		case "Content-Type":
			if v.contentType != "" {
				continue
			}
		}
		if value = strings.Trim(value, " \t"); !ok || !wire.IsFieldValue(value) {
			return nil, errHeaderField
		}
		add(field, value)
	}
	if n, _ := wire.ParseDecimal(v.contentLength); n < length {
		add("Content-Length", strconv.FormatInt(length, 10)) // the client's, of a body that is not passed on
	} else if v.saidLength || n > 0 {
		add("Content-Length", v.contentLength)
	}
	if p := header["Pragma"]; len(p) > 0 && p[0] == "no-cache" && header["Cache-Control"] == nil {
		add("Cache-Control", "no-cache") // as net/http does
	}
	return header, nil
}

// usualFields is more than browsers send.
const usualFields = 32

// hostname returns host without its port and its last dot, which nginx drops.
func hostname(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i > strings.LastIndexByte(host, ']') && strings.Trim(host[i+1:], "0123456789") == "" {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}

// isHost is as strict as net/http.
func isHost(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!$%&'()*+,-.:;=@[]_~", c) >= 0) {
			return false
		}
	}
	return true
}
