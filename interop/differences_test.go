package interop_test

// differences_test.go lists the accepted differences from net/http with their reasons. Each
// row was observed, and is deleted when it is not observed any more.

// anyCall marks a difference that may appear in any call.
const anyCall = "*"

// A difference is a field that differs from net/http's.
type difference struct {
	servers servers
	call    string
	field   string
	got     string
	why     string
}

var differences = []difference{
	// Differences of every front: lighttpd, Apache, nginx by its stanza, and the library.
	{each, "Proxy header", "r.Header[Proxy]", "-", "CVE-2016-5385: it must not become HTTP_PROXY"},

	// Differences of CGI: X_Y and X-Y share a variable.
	{nginx, "underscore header", "r.Header[X_under]", "-", "nginx drops it (underscores_in_headers off)"},
	{lighttpd, "underscore header", "r.Header[X_under]", "-", "it is HTTP_X_UNDER"},
	{lighttpd, "underscore header", "r.Header[X-Under]", `["a"]`, "it is HTTP_X_UNDER"},
	{apache, "underscore header", "r.Header[X_under]", "-", "Apache drops it (HttpProtocolOptions)"},

	// The request's body.
	{spooling, "chunked", "r.ContentLength", "12345", "SCGI needs the length: the body is spooled first"},
	{spooling, "chunked", "r.Header[Content-Length]", `["12345"]`, "SCGI needs the length: the body is spooled first"},
	{apache, "chunked", "status", "411, its own", "SCGI needs the length, and mod_proxy_scgi does not spool"},
	{apache, "POST without a body", "r.Header[Content-Length]", "-", "Apache sends no HTTP_CONTENT_LENGTH"},

	// The request's header.
	{joining, "repeated header", "r.Header[X-Twice]", `["one, two"]`, "joined, as RFC 9110 §5.3 allows"},
	{nginx.from("1.23"), "two Cookie lines", "r.Header[Cookie]", `["a=1; b=2"]`, "joined"},
	{lighttpd, "two Cookie lines", "r.Header[Cookie]", `["a=1; b=2"]`, "joined"},
	{apache, "two Cookie lines", "r.Header[Cookie]", `["a=1, b=2"]`, "joined with a comma, though RFC 6265 §5.4 has one line only"},
	{lighttpd, "empty header", "r.Header[X-Empty]", "-", "lighttpd drops it"},

	// The request line.
	{lighttpd, "unknown method", "status", "501, its own", "lighttpd knows its methods"},
	{lighttpd, "escaped control in the query", "status", "400, its own", "url-ctrls-reject"},
	{lighttpd, "escaped NUL in the query", "status", "400, its own", "url-ctrls-reject"},
	{lighttpd, "raw Latin-1 in the query", "status", "400, its own", "url-normalize-required takes UTF-8 only"},
	{lighttpd.before("1.4.85"), "two question marks", "r.RequestURI", `"/dump%3Fa=1?b=2"`, lastMark},
	{lighttpd.before("1.4.85"), "two question marks", "r.Path", `"/dump?a=1"`, lastMark},
	{lighttpd.before("1.4.85"), "two question marks", "r.EscapedPath", `"/dump%3Fa=1"`, lastMark},
	{lighttpd.before("1.4.85"), "two question marks", "r.RawQuery", `"b=2"`, lastMark},
	{spooling, "escaped NUL", "status", "400, its own", "no path has a NUL"},
	{apache, "escaped NUL", "status", "404, its own", "no path has a NUL"},

	// The response.
	{lighttpd, anyCall, "Accept-Ranges", "bytes", "lighttpd answers range requests for the app"},
	{apache, anyCall, "Content-Length", "-", "Apache drops it, and finds it out again of a small reply that comes fast"},
	{apache, "response headers", "X-Twice", "one, two", "joined, as RFC 9110 §5.3 allows"},
}

const lastMark = "lighttpd takes all before the last question mark for the path, and what its rules have seen is served"

func explain(fr front, call, field string) (difference, bool) {
	for _, d := range differences {
		if d.servers.include(fr) && (d.call == call || d.call == anyCall) && d.field == field {
			return d, true
		}
	}
	return difference{}, false
}
