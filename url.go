package scgi

// url.go makes the URL of an http.Request. The handler serves the path that the web
// server's own rules have seen. That is the path of REQUEST_URI, used as the client
// wrote it, unless the web server says that it means another.
//
// REQUEST_URI stays the client's when nginx makes a request of its own
// (auth_request, SSI, mirror) or sends one elsewhere (X-Accel-Redirect, rewrite,
// error_page), and so it does with lighttpd's url.rewrite and error-handler and
// with Apache's ErrorDocument, RewriteRule and SSI. DOCUMENT_URI, or SCRIPT_NAME
// and PATH_INFO, have the path that is meant, decoded and cleaned.

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// url returns r.RequestURI and r.URL. It parses as net/http parses a request
// line: a host is never pieced together.
func (v *cgiVars) url() (uri string, u *url.URL, err error) {
	uri = v.target()
	raw := uri
	authority := v.method == http.MethodConnect && !strings.HasPrefix(uri, "/")
	if authority {
		raw = "http://" + uri
	}
	if u, err = url.ParseRequestURI(raw); err != nil {
		return "", nil, errURI
	}
	if authority {
		u.Scheme = ""
	}
	return uri, u, nil
}

// target returns REQUEST_URI, but with the path and the query that the web
// server means where it means others.
func (v *cgiVars) target() string {
	said := v.path()
	if v.uri != "" && (said == "" || v.hasNoPath()) {
		return v.uri
	}
	start, ok := pathStart(v.uri)
	if !ok {
		return encodeTarget(said, v.query)
	}
	sent, query, _ := strings.Cut(v.uri[start:], "?")
	switch {
	case !isSamePath(sent, said) || hidesDots(sent) && !hasDots(said):
		return v.uri[:start] + encodeTarget(said, v.query)
	case v.saidQuery && !isSameQuery(query, v.query):
		return strings.TrimSuffix(v.uri[:start]+sent+"?"+v.query, "?")
	}
	return v.uri
}

// path returns what the web server says of the path, decoded; empty if it says
// nothing. DOCUMENT_URI is nginx's $document_uri, and more reliable than what
// its configuration makes of PATH_INFO: a named capture that PATH_INFO is made
// of has the path of the access check once that has run. Beside DOCUMENT_NAME
// it is Apache's, for the page that includes this one.
func (v *cgiVars) path() string {
	switch {
	case v.documentURI != "" && !v.isIncluded:
		return v.documentURI
	case v.isGarbled:
		return ""
	}
	return v.scriptName + v.pathInfo
}

// encodeTarget returns a request target. Its path begins with a slash, whatever
// the web server says.
func encodeTarget(said, query string) string {
	if !strings.HasPrefix(said, "/") {
		said = "/" + said
	}
	return (&url.URL{Path: said, RawQuery: query}).RequestURI()
}

// hasNoPath reports whether REQUEST_URI is of a form that has none: OPTIONS * and
// CONNECT's authority (RFC 9112 §3.2).
func (v *cgiVars) hasNoPath() bool {
	return v.method == http.MethodOptions && v.uri == "*" ||
		v.method == http.MethodConnect && !strings.HasPrefix(v.uri, "/")
}

// pathStart returns the index of the path in a uri, which is a path or an absolute
// URI. It reports false for anything else.
func pathStart(uri string) (start int, ok bool) {
	if strings.HasPrefix(uri, "/") {
		return 0, true
	}
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || !isScheme(scheme) {
		return 0, false
	}
	authority := strings.IndexAny(rest, "/?")
	if authority < 0 {
		authority = len(rest)
	}
	return len(scheme) + len("://") + authority, true
}

// isScheme reports whether s can be a URI's scheme (RFC 3986 §3.1).
func isScheme(s string) bool {
	for i, c := range []byte(s) {
		if letter := 'a' <= c|0x20 && c|0x20 <= 'z'; !letter && (i == 0 || !('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}

// isSamePath reports whether said is what a web server makes of the path sent.
// Some leave escapes in it: Apache with AllowEncodedSlashes NoDecode, whose rules
// then do not see the slashes that URL.Path has, and nginx in what was captured
// by "set".
func isSamePath(sent, said string) bool {
	if sent == said {
		return true
	}
	clean := cleanPath(unescape(sent))
	return clean == cleanPath(said) || clean == cleanPath(unescape(said))
}

// hidesDots reports whether path has dots that only decoding reveals. A ServeMux
// redirects other dots, but routes these by the folder before them.
func hidesDots(path string) bool {
	return strings.Contains(path, "%") && hasDots(unescape(cleanPath(path)))
}

// hasDots reports whether a segment of path is one or two dots.
func hasDots(path string) bool {
	path += "/"
	return strings.Contains(path, "/./") || strings.Contains(path, "/../")
}

// isSameQuery reports whether said is what a web server makes of the query sent:
// lighttpd encodes it anew.
func isSameQuery(sent, said string) bool {
	return sent == said ||
		unescape(strings.ReplaceAll(sent, "+", " ")) == unescape(strings.ReplaceAll(said, "+", " "))
}

// cleanPath resolves dots and merges slashes as web servers do: a path to a
// folder keeps its slash.
func cleanPath(p string) string {
	clean := path.Clean("/" + p)
	if clean != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		clean += "/"
	}
	return clean
}

// unescape decodes s once. An escape that is none stays as it is, since lighttpd
// passes it on.
func unescape(s string) string {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s
	}
	b := []byte(s[:i])
	for ; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(c))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
