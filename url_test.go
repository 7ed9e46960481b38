package scgi

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// convert makes an http.Request from the variables, preceded by the two that SCGI requires.
func convert(namesAndValues ...string) (*http.Request, error) {
	kv := append([]string{"CONTENT_LENGTH", "0", "SCGI", "1"}, namesAndValues...)
	return newHTTPRequest(&Request{Env: NewEnv(kv...), Body: http.NoBody})
}

func TestURL(t *testing.T) {
	for _, test := range []struct {
		vars []string
		uri  string // RequestURI
		url  url.URL
		host string
	}{
		{[]string{"REQUEST_URI", "/a%20b?x=1"}, "/a%20b?x=1", url.URL{Path: "/a b", RawQuery: "x=1"}, ""},
		{[]string{"REQUEST_URI", "/a%2Fb"}, "/a%2Fb", url.URL{Path: "/a/b", RawPath: "/a%2Fb"}, ""},
		{[]string{"REQUEST_URI", "//foo/bar", "HTTP_HOST", "h"}, "//foo/bar", url.URL{Path: "//foo/bar"}, "h"},
		{[]string{"REQUEST_URI", "/x?", "HTTP_HOST", "h"}, "/x?", url.URL{Path: "/x", ForceQuery: true}, "h"},
		{[]string{"REQUEST_URI", "/../etc/passwd"}, "/../etc/passwd", url.URL{Path: "/../etc/passwd"}, ""},
		{[]string{"REQUEST_URI", "*", "REQUEST_METHOD", "OPTIONS", "HTTP_HOST", "h"}, "*", url.URL{Path: "*"}, "h"},
		{[]string{"REQUEST_URI", "http://other:8080/x?y", "HTTP_HOST", "h"}, "http://other:8080/x?y", url.URL{Scheme: "http", Host: "other:8080", Path: "/x", RawQuery: "y"}, "other:8080"},
		{[]string{"REQUEST_URI", "scgi://127.0.0.1:8080/directory"}, "scgi://127.0.0.1:8080/directory", url.URL{Scheme: "scgi", Host: "127.0.0.1:8080", Path: "/directory"}, "127.0.0.1:8080"},
		{[]string{"REQUEST_URI", "fe.test:443", "REQUEST_METHOD", "CONNECT", "HTTP_HOST", "h"}, "fe.test:443", url.URL{Host: "fe.test:443"}, "fe.test:443"},
		{[]string{"REQUEST_URI", "/x", "HTTP_HOST", "a@b.com"}, "/x", url.URL{Path: "/x"}, "a@b.com"},
		{[]string{"REQUEST_URI", "/x", "SERVER_NAME", "s"}, "/x", url.URL{Path: "/x"}, "s"},
		{[]string{"SCRIPT_NAME", "/app", "PATH_INFO", "/a b?", "QUERY_STRING", "q=1"}, "/app/a%20b%3F?q=1", url.URL{Path: "/app/a b?", RawQuery: "q=1"}, ""},
		{[]string{"PATH_INFO", "no/slash"}, "/no/slash", url.URL{Path: "/no/slash"}, ""},
		{[]string{"REQUEST_URI", "/x", "HTTP_HOST", "h", "HTTP_HOST", "h"}, "/x", url.URL{Path: "/x"}, "h"},
		{nil, "/", url.URL{Path: "/"}, ""},
	} {
		req, err := convert(test.vars...)
		if err != nil {
			t.Errorf("%q: %v", test.vars, err)
			continue
		}
		if req.RequestURI != test.uri || *req.URL != test.url || req.Host != test.host {
			t.Errorf("%q: RequestURI %q, URL %#v, Host %q", test.vars, req.RequestURI, *req.URL, req.Host)
		}
	}
}

// An ordinary request keeps REQUEST_URI as the client wrote it, whatever each web server
// makes of its path. The variables of each row were observed.
func TestOrdinaryURLStaysRaw(t *testing.T) {
	for _, test := range []struct {
		name, uri, path string // path is URL.Path
		vars            []string
	}{
		{"nothing said", "/a%20b/../c?x", "/a b/../c", []string{"REQUEST_URI", "/a%20b/../c?x"}},
		{"nginx, scgi_params only", "/app/a%20b/c?d", "/app/a b/c", []string{"REQUEST_URI", "/app/a%20b/c?d", "QUERY_STRING", "d", "DOCUMENT_URI", "/app/a b/c"}},
		{"nginx, root", "/app/a%20b/c?d=e", "/app/a b/c", nginxSays("/app/a%20b/c?d=e", "d=e", "/app/a b/c")},
		{"nginx, prefix", "/app/a%20b/c", "/app/a b/c", []string{"REQUEST_URI", "/app/a%20b/c", "DOCUMENT_URI", "/app/a b/c", "SCRIPT_NAME", "/app", "PATH_INFO", "/a b/c"}},
		{"nginx, the prefix itself", "/app", "/app", []string{"REQUEST_URI", "/app", "DOCUMENT_URI", "/app", "SCRIPT_NAME", "/app", "PATH_INFO", ""}},
		{"nginx, prefix, after an access check under it", "/app/a", "/app/a", []string{"REQUEST_URI", "/app/a", "DOCUMENT_URI", "/app/a", "SCRIPT_NAME", "/app", "PATH_INFO", "/check"}},
		{"nginx, SCRIPT_NAME only", "/app/a", "/app/a", []string{"REQUEST_URI", "/app/a", "DOCUMENT_URI", "/app/a", "SCRIPT_NAME", "/app"}},
		{"nginx, escaped by set", "/app/a%20b/%C3%A9", "/app/a b/é", []string{"REQUEST_URI", "/app/a%20b/%C3%A9", "SCRIPT_NAME", "/app", "PATH_INFO", "/a%20b/%C3%A9"}},
		{"nginx, %2F", "/a%2Fb", "/a/b", nginxSays("/a%2Fb", "", "/a/b")},
		{"nginx, a dot at the end", "/a/.", "/a/.", nginxSays("/a/.", "", "/a/")},
		{"nginx, dots at the end", "/a/b/..", "/a/b/..", nginxSays("/a/b/..", "", "/a/")},
		{"nginx, dots to the root", "/a/..", "/a/..", nginxSays("/a/..", "", "/")},
		{"nginx, slashes", "//a//", "//a//", nginxSays("//a//", "", "/a/")},
		{"nginx, merge_slashes off", "/a//b", "/a//b", nginxSays("/a//b", "", "/a//b")},
		{"nginx, line break", "/a%0d%0ab", "/a\r\nb", nginxSays("/a%0d%0ab", "", "/a\r\nb")},
		{"nginx, ?, # and % escaped", "/%3f%23%25?x", "/?#%", nginxSays("/%3f%23%25?x", "x", "/?#%")},
		{"nginx, escaped twice", "/a%252Fb", "/a%2Fb", nginxSays("/a%252Fb", "", "/a%2Fb")},
		{"nginx, not UTF-8", "/%e9/\xe9", "/\xe9/\xe9", nginxSays("/%e9/\xe9", "", "/\xe9/\xe9")},
		{"nginx, empty query", "/a?", "/a", nginxSays("/a?", "", "/a")},
		{"nginx, odd query", "/a?x=%zz&?&+%20", "/a", nginxSays("/a?x=%zz&?&+%20", "x=%zz&?&+%20", "/a")},
		{"nginx, plus and tilde", "/a+b%2Bc/%7Ex", "/a+b+c/~x", nginxSays("/a+b%2Bc/%7Ex", "", "/a+b+c/~x")},
		{"nginx, parameters", "/a/b/..;x/.../c", "/a/b/..;x/.../c", nginxSays("/a/b/..;x/.../c", "", "/a/b/..;x/.../c")},
		{"lighttpd, fix-root-scriptname", "/app/a%20b", "/app/a b", lighttpdSays("/app/a%20b", "", "", "/app/a b")},
		{"lighttpd, root", "/app/a%20b/c", "/app/a b/c", lighttpdSays("/app/a%20b/c", "", "/app", "/a b/c")},
		{"lighttpd, root itself", "/", "/", []string{"REQUEST_URI", "/", "SCRIPT_NAME", "/"}},
		{"lighttpd, /app", "/app2x/b", "/app2x/b", lighttpdSays("/app2x/b", "", "/app2x", "/b")},
		{"lighttpd, /app/", "/app/a%20b/c", "/app/a b/c", lighttpdSays("/app/a%20b/c", "", "/app/a b", "/c")},
		{"lighttpd, dots past the root", "/app/../../etc/passwd", "/app/../../etc/passwd", lighttpdSays("/app/../../etc/passwd", "", "", "/etc/passwd")},
		{"lighttpd, query encoded anew", "/q?y=%22%3c+%20\xc3\xa9&z=%zz", "/q", lighttpdSays("/q?y=%22%3c+%20\xc3\xa9&z=%zz", "y=%22%3C+%20%C3%A9&z=%25zz", "", "/q")},
		{"lighttpd, url-query-20-plus", "/q?y=a%20b", "/q", lighttpdSays("/q?y=a%20b", "y=a+b", "", "/q")},
		{"Apache", "/app/a%20b/c?d", "/app/a b/c", apacheSays("/app/a%20b/c?d", "d", "/app/a b/c")},
		{"Apache, SetHandler", "/sh/a%20b", "/sh/a b", []string{"REQUEST_URI", "/sh/a%20b", "SCRIPT_NAME", "/sh", "PATH_INFO", "/a b"}},
		{"Apache, NoDecode", "/a%2Fb%20c", "/a/b c", apacheSays("/a%2Fb%20c", "", "/a%2Fb c")},
		{"Apache, proxy-scgi-pathinfo", "/pi2/a%20b/c", "/pi2/a b/c", []string{"proxy-scgi-pathinfo", "1", "REQUEST_URI", "/pi2/a%20b/c", "SCRIPT_NAME", "/pi2/a b", "PATH_INFO", "/a%20b/c"}},
		{"Apache, absolute", "http://other:8080/app/abs?x=1", "/app/abs", apacheSays("http://other:8080/app/abs?x=1", "x=1", "/app/abs")},
		{"Apache, absolute without a path", "http://other", "", apacheSays("http://other", "", "/")},
		{"Apache, authority", "fe.test:443", "", append(apacheSays("fe.test:443", "", "/"), "REQUEST_METHOD", "CONNECT")},
		{"Apache, asterisk", "*", "*", append(apacheSays("*", "", "/"), "REQUEST_METHOD", "OPTIONS")},
		{"a front end that resolves no dots", "/a/%2e%2e/b", "/a/../b", nginxSays("/a/%2e%2e/b", "", "/a/../b")},
		{"mod_scgi, root", "/a/b", "/a/b", lighttpdSays("/a/b", "", "", "/a/b")},
		{"gofcgisrv", "/app/hello?x=1", "/app/hello", []string{"SCRIPT_NAME", "", "REQUEST_URI", "/app/hello?x=1", "QUERY_STRING", "x=1"}},
	} {
		req, err := convert(test.vars...)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if req.RequestURI != test.uri || req.URL.Path != test.path {
			t.Errorf("%s: RequestURI %q, Path %q", test.name, req.RequestURI, req.URL.Path)
		}
	}
}

// If the web server means another path or query than the client wrote, the URL is the web
// server's. The variables of each row were observed.
func TestURLFollowsWebServer(t *testing.T) {
	for _, test := range []struct {
		name, uri, path string
		vars            []string
	}{
		{"nginx, auth_request", "/auth", "/auth", nginxSays("/private/a?x=1", "", "/auth")},
		{"nginx, auth_request, scgi_params only", "/auth", "/auth", []string{"REQUEST_URI", "/private/a?x=1", "QUERY_STRING", "", "DOCUMENT_URI", "/auth"}},
		{"nginx, auth_request, prefix", "/app/auth", "/app/auth", []string{"REQUEST_URI", "/app/private", "DOCUMENT_URI", "/app/auth", "SCRIPT_NAME", "/app", "PATH_INFO", "/auth"}},
		{"nginx, X-Accel-Redirect", "/internal/a%20b?z=1", "/internal/a b", nginxSays("/xaccel", "z=1", "/internal/a b")},
		{"nginx, SSI", "/frag?f=1", "/frag", nginxSays("/page.shtml?q", "f=1", "/frag")},
		{"nginx, rewrite last", "/other/x?added=1&c=2", "/other/x", nginxSays("/a/b/rewritten?c=2", "added=1&c=2", "/other/x")},
		{"nginx, rewrite of the query", "/addargs?added=1&c=2", "/addargs", nginxSays("/addargs?c=2", "added=1&c=2", "/addargs")},
		{"nginx, query dropped", "/a%2Fb", "/a/b", nginxSays("/a%2Fb?c=2", "", "/a/b")},
		{"nginx, query added", "/a?added=1", "/a", nginxSays("/a", "added=1", "/a")},
		{"nginx, error_page", "/404.html", "/404.html", nginxSays("/none", "", "/404.html")},
		{"nginx, error_page of what is no request", "/400.html", "/400.html", nginxSays("/a%zz", "", "/400.html")},
		{"nginx, without REQUEST_URI", "/400.html?x", "/400.html", nginxSays("", "x", "/400.html")},
		{"nginx, a slash dropped", "/a", "/a", nginxSays("/a/", "", "/a")},
		{"nginx, dots behind %2F", "/b", "/b", nginxSays("/a%2F..%2Fb", "", "/b")},
		{"nginx, escaped dots", "/b?q", "/b", nginxSays("/a/%2e%2E/b?q", "q", "/b")},
		{"nginx, an escaped dot", "/a/b", "/a/b", nginxSays("/a/%2e/b", "", "/a/b")},
		{"nginx, escaped dots at the end", "/a/", "/a/", nginxSays("/a/b/.%2e", "", "/a/")},
		{"nginx, some dots escaped", "/private/a", "/private/a", nginxSays("/x/../private/x/%2e%2e/a", "", "/private/a")},
		{"nginx, fragment", "/x", "/x", nginxSays("/x#frag?y#z", "", "/x")},
		{"nginx, fragment of the query", "/x?q", "/x", nginxSays("/x?q#frag", "q", "/x")},
		{"nginx, odd bytes", "/a%0D%0Ab%3F%23%25%E9;%22", "/a\r\nb?#%\xe9;\"", nginxSays("/x", "", "/a\r\nb?#%\xe9;\"")},
		{"nginx, two slashes", "//evil/x", "//evil/x", nginxSays("/x", "", "//evil/x")},
		{"nginx, no slash", "/evil", "/evil", nginxSays("/x", "", "evil")},
		{"nginx, asterisk", "/%2A", "/*", nginxSays("/x", "", "*")},
		{"lighttpd, url.rewrite", "/other/x?added=1", "/other/x", lighttpdSays("/a/b?c=2", "added=1", "", "/other/x")},
		{"lighttpd, error-handler", "/err404", "/err404", lighttpdSays("/denied", "", "", "/err404")},
		{"lighttpd before 1.4.85, two question marks", "/hello%3Fa=1?b=2", "/hello?a=1", lighttpdSays("/hello?a=1?b=2", "b=2", "", "/hello?a=1")},
		{"Apache, RewriteRule [PT]", "/other/x?added=1", "/other/x", apacheSays("/a/b?c=2", "added=1", "/other/x")},
		{"Apache, ErrorDocument", "/err404?e=1", "/err404", apacheSays("/missing?m=1", "e=1", "/err404")},
		{"Apache, SSI", "/frag?f=1", "/frag", append(apacheSays("/ssi/page.shtml?q", "f=1", "/frag"), "DOCUMENT_URI", "/ssi/page.shtml", "DOCUMENT_NAME", "page.shtml")},
		{"Apache, dots behind what is no slash", "/c?q", "/c", apacheSays("/a%2Fb/../c?q", "q", "/c")},
		{"Apache, NoDecode and dots", "/a/..%252fb", "/a/..%2fb", apacheSays("/a/%2e%2e%2fb", "", "/a/..%2fb")},
		{"Apache, absolute", "http://other:8080/err404?e=1", "/err404", apacheSays("http://other:8080/missing?m=1", "e=1", "/err404")},
		{"Apache, absolute with a query only", "http://other/err404?e=1", "/err404", apacheSays("http://other?m=1", "e=1", "/err404")},
	} {
		req, err := convert(test.vars...)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		want, err := http.NewRequest("GET", "http://h"+test.uri, nil)
		if req.RequestURI != test.uri || req.URL.Path != test.path || err == nil && req.URL.Host == "" && req.URL.RawQuery != want.URL.RawQuery {
			t.Errorf("%s: RequestURI %q, Path %q, RawQuery %q", test.name, req.RequestURI, req.URL.Path, req.URL.RawQuery)
		}
	}
}

// nginxSays returns the variables that nginx sends with the README's stanza for the root.
func nginxSays(uri, query, path string) []string {
	return []string{"REQUEST_URI", uri, "QUERY_STRING", query, "DOCUMENT_URI", path, "SCRIPT_NAME", "", "PATH_INFO", path}
}

// lighttpdSays returns those of lighttpd, for the folder at which the app is mounted.
func lighttpdSays(uri, query, script, info string) []string {
	return []string{"QUERY_STRING", query, "REQUEST_URI", uri, "SCRIPT_NAME", script, "PATH_INFO", info}
}

// apacheSays returns those of Apache with ProxyPass.
func apacheSays(uri, query, path string) []string {
	return []string{"QUERY_STRING", query, "REQUEST_URI", uri, "SCRIPT_NAME", path}
}

// Invariant: whatever the client sends, the cleaned path that is served is the cleaned path
// of the web server, and so the one that its rules saw. A ServeMux, which cleans the path
// before it decodes it, routes by no other path.
func FuzzServedPath(f *testing.F) {
	for _, uri := range []string{"/a%20b/../c?x", "//a//.", "http://h/x", "*", "/%zz", "/a%2Fb", "/x#y?z", "?x", "/%252e", "A:://", "A:/://", "urn:x", "/%2e%2e/a%20b/c", "/x/../y/.%2e/%61%20b/c", "/a%20b/%2e%2fc"} {
		f.Add(uri, "q", "/a b/c")
		f.Add(uri, "", "/auth%2e")
	}
	f.Fuzz(func(t *testing.T, uri, query, said string) {
		if strings.Contains(uri+query+said, "\x00") || said == "" {
			return
		}
		half := len(said) / 2
		for _, vars := range [][]string{
			{"DOCUMENT_URI", said, "PATH_INFO", "/other"},
			{"SCRIPT_NAME", said[:half], "PATH_INFO", said[half:]},
		} {
			req, err := convert(append(vars, "REQUEST_URI", uri, "QUERY_STRING", query)...)
			if err != nil {
				continue
			}
			if served := cleanPath(req.URL.Path); served != cleanPath(said) && served != cleanPath(unescape(said)) {
				t.Errorf("%q with %q serves %q", uri, vars, req.URL.Path)
			}
			if routed := unescape(cleanPath(req.URL.EscapedPath())); hasDots(routed) && !hasDots(said) {
				t.Errorf("%q with %q is routed as %q", uri, vars, routed)
			}
			if again, err := convert("REQUEST_URI", req.RequestURI); err != nil || !reflect.DeepEqual(again.URL, req.URL) {
				t.Errorf("RequestURI %q is not URL %q: %v", req.RequestURI, req.URL, err)
			}
		}
	})
}
