//go:build unix

package cgihost

// environ.go owns the program's environment. Rule: a variable of the request
// gets into it only if its name is one that CGI gives a meaning to, or one that
// whoever started the host has named.
//
// SCGI lets a peer send any variable, and many configure a program rather than
// describe a request: PATH, IFS, ENV, BASH_ENV, LD_PRELOAD, PERL5OPT,
// PYTHONPATH, NODE_OPTIONS, GIT_SSH_COMMAND, GIT_CONFIG_COUNT, OPENSSL_CONF,
// HOME ... A list of names to refuse is never complete, so this is a list of
// names to take. fcgiwrap passes everything.

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"example.com/scgi"
)

// known are the variables of RFC 3875 §4.1, and those that web servers have
// added to them.
var known = strings.Fields(`
	AUTH_TYPE CONTENT_LENGTH CONTENT_TYPE GATEWAY_INTERFACE PATH_INFO
	PATH_TRANSLATED QUERY_STRING REMOTE_ADDR REMOTE_HOST REMOTE_IDENT
	REMOTE_USER REQUEST_METHOD SCRIPT_NAME SERVER_NAME SERVER_PORT
	SERVER_PROTOCOL SERVER_SOFTWARE

	CONTEXT_DOCUMENT_ROOT CONTEXT_PREFIX DOCUMENT_ROOT DOCUMENT_URI HTTPS
	REMOTE_PORT REQUEST_SCHEME REQUEST_URI SCRIPT_FILENAME SCRIPT_URI SCRIPT_URL
	SERVER_ADDR SERVER_ADMIN UNIQUE_ID

	SSL_COMPRESS_METHOD SSL_PROTOCOL SSL_SECURE_RENEG SSL_TLS_SNI`)

// families are the beginnings of names that describe a request, whatever
// follows. SSL_ as a whole is none: OpenSSL reads SSL_CERT_FILE.
var families = []string{"HTTP_", "REDIRECT_", "SSL_CIPHER", "SSL_CLIENT_", "SSL_SERVER_", "SSL_SESSION_", "SSL_VERSION_"}

// passes reports whether the program gets the variable. HTTP_PROXY is a
// client's word that programs take for their setting (CVE-2016-5385).
func (h *Host) passes(name string) bool {
	switch {
	case name == "HTTP_PROXY" || strings.Contains(name, "="):
		return false
	case slices.Contains(known, name) || slices.Contains(h.Pass, name):
		return true
	}
	return slices.ContainsFunc(families, func(family string) bool { return strings.HasPrefix(name, family) })
}

// defaultPath is the PATH of a host that has none.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// environ is the environment of a program: the request's variables, the host's
// PATH and no other variable of the host, and h.Env. (Of a name that is there
// twice, package exec takes the last value.)
func (h *Host) environ(r *scgi.Request, s script) []string {
	var environ []string
	fields := make(map[string]int) // the HTTP_ variables, by their place
	for name, value := range r.Env.All() {
		i, repeated := fields[name]
		switch {
		case name == "CONTENT_LENGTH" || !h.passes(name):
		case repeated: // RFC 3875 §4.1.18
			environ[i] += separator(name) + value
		default:
			if strings.HasPrefix(name, "HTTP_") && name != "HTTP_HOST" {
				fields[name] = len(environ)
			}
			environ = append(environ, name+"="+value)
		}
	}
	if r.ContentLength > 0 { // RFC 3875 §4.1.2: only then
		environ = append(environ, fmt.Sprint("CONTENT_LENGTH=", r.ContentLength))
	}
	environ = append(environ, s.vars...)
	environ = append(environ, "GATEWAY_INTERFACE=CGI/1.1", "PATH="+cmp.Or(os.Getenv("PATH"), defaultPath))
	return append(environ, h.Env...)
}

// separator joins the values of a header field that came more than once.
func separator(name string) string {
	if name == "HTTP_COOKIE" {
		return "; "
	}
	return ", "
}
