//go:build unix

package cgihost

// environ.go builds the program's environment. A variable of the request is passed
// only if CGI defines its name or the operator listed it in Pass.
//
// An SCGI peer can send any variable, and many configure a program rather than
// describe a request: PATH, IFS, ENV, BASH_ENV, LD_PRELOAD, PERL5OPT,
// PYTHONPATH, NODE_OPTIONS, GIT_SSH_COMMAND, GIT_CONFIG_COUNT, OPENSSL_CONF,
// HOME ... A deny list is never complete, so this is an allow list. fcgiwrap
// passes everything.

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"example.com/scgi"
)

// known lists the variables of RFC 3875 §4.1 and those that web servers add.
var known = strings.Fields(`
	AUTH_TYPE CONTENT_LENGTH CONTENT_TYPE GATEWAY_INTERFACE PATH_INFO
	PATH_TRANSLATED QUERY_STRING REMOTE_ADDR REMOTE_HOST REMOTE_IDENT
	REMOTE_USER REQUEST_METHOD SCRIPT_NAME SERVER_NAME SERVER_PORT
	SERVER_PROTOCOL SERVER_SOFTWARE

	CONTEXT_DOCUMENT_ROOT CONTEXT_PREFIX DOCUMENT_ROOT DOCUMENT_URI HTTPS
	REMOTE_PORT REQUEST_SCHEME REQUEST_URI SCRIPT_FILENAME SCRIPT_URI SCRIPT_URL
	SERVER_ADDR SERVER_ADMIN UNIQUE_ID

	SSL_COMPRESS_METHOD SSL_PROTOCOL SSL_SECURE_RENEG SSL_TLS_SNI`)

// families lists the prefixes of variables that describe a request. SSL_ is not
// one of them, because OpenSSL reads SSL_CERT_FILE.
var families = []string{"HTTP_", "REDIRECT_", "SSL_CIPHER", "SSL_CLIENT_", "SSL_SERVER_", "SSL_SESSION_", "SSL_VERSION_"}

// passes reports whether the program gets the variable. HTTP_PROXY comes from the
// client, but many programs read it as a setting (CVE-2016-5385).
func (h *Host) passes(name string) bool {
	switch {
	case name == "HTTP_PROXY" || strings.Contains(name, "="):
		return false
	case slices.Contains(known, name) || slices.Contains(h.Pass, name):
		return true
	}
	return slices.ContainsFunc(families, func(family string) bool { return strings.HasPrefix(name, family) })
}

// defaultPath is used if the host has no PATH.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// environ returns the environment of a program: the request's variables, the
// host's PATH but no other variable of the host, and h.Env. (Package exec uses the
// last value of a duplicate name.)
func (h *Host) environ(r *scgi.Request, s script) []string {
	var environ []string
	fields := make(map[string]int) // index of each HTTP_ variable
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
	if r.ContentLength > 0 { // RFC 3875 §4.1.2: set only if there is a body
		environ = append(environ, fmt.Sprint("CONTENT_LENGTH=", r.ContentLength))
	}
	environ = append(environ, s.vars...)
	environ = append(environ, "GATEWAY_INTERFACE=CGI/1.1", "PATH="+cmp.Or(os.Getenv("PATH"), defaultPath))
	return append(environ, h.Env...)
}

// separator returns the text between the values of a repeated header field.
func separator(name string) string {
	if name == "HTTP_COOKIE" {
		return "; "
	}
	return ", "
}
