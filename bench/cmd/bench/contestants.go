//go:build linux

package main

// contestants.go lists the servers that are measured. All of them send the same
// page, and read the request body if there is one.

// A contestant is a server program and the way to send it requests.
type contestant struct {
	name     string
	program  string // a command of this module
	args     []string
	protocol string
	keep     bool
	nginx    string // nginx directives that pass a request on to it
	env      []string
}

func library(level string) contestant {
	return contestant{name: "scgi, " + level, program: "subject", args: []string{"-level", level, "-scgi"}, protocol: "scgi", nginx: scgiPass}
}

func rival(name, kind, protocol string, keep bool, nginx string) contestant {
	return contestant{name: name, program: "rival", args: []string{"-kind", kind, "-listen"}, protocol: protocol, keep: keep, nginx: nginx}
}

var (
	bare      = rival("bare accept loop", "bare", "scgi", false, scgiPass)
	native    = library("native")
	produce   = library("produce")
	asHTTP    = library("http")
	naive     = rival("naive SCGI server", "naive", "scgi", false, scgiPass)
	httpKept  = rival("net/http, kept alive", "http", "http", true, proxyKept)
	httpOnce  = rival("net/http, a connection each", "http", "http", false, proxyPass)
	fcgiKept  = rival("net/http/fcgi, kept", "fcgi", "fcgi", true, fcgiPassKept)
	fcgiOnce  = rival("net/http/fcgi, a connection each", "fcgi", "fcgi", false, fcgiPass)
	commonCGI = rival("CGI, a process each", "cgi", "http", true, proxyKept)
)

// The first of each list is the base of the ratios.
var (
	direct  = []contestant{bare, native, produce, asHTTP, naive, httpKept, httpOnce, fcgiKept, fcgiOnce, commonCGI}
	curved  = []contestant{bare, native, asHTTP, naive, httpKept, httpOnce, fcgiKept, fcgiOnce}
	sized   = []contestant{native, asHTTP, naive, httpKept, httpOnce, fcgiOnce}
	patient = []contestant{native, naive, httpKept, fcgiOnce}
	started = []contestant{bare, native, asHTTP, httpKept, fcgiOnce}
)
