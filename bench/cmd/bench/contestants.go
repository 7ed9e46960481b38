//go:build linux

package main

// contestants.go owns who is measured. Rule: all of them send the same page,
// and read the body if there is one.

// A contestant is a server program, and how it is asked.
type contestant struct {
	name     string
	program  string // of this module
	args     []string
	protocol string
	keep     bool
	nginx    string // how nginx passes a request on to "app"
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

// The first of each is what the others are measured by.
var (
	direct  = []contestant{bare, native, produce, asHTTP, naive, httpKept, httpOnce, fcgiKept, fcgiOnce, commonCGI}
	curved  = []contestant{bare, native, asHTTP, naive, httpKept, httpOnce, fcgiKept, fcgiOnce}
	sized   = []contestant{native, asHTTP, naive, httpKept, httpOnce, fcgiOnce}
	patient = []contestant{native, naive, httpKept, fcgiOnce}
	started = []contestant{bare, native, asHTTP, httpKept, fcgiOnce}
)
