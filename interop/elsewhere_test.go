package interop_test

// elsewhere_test.go tests requests that a web server sends to another path than the client
// asked for: access checks, internal redirects, error pages, rewrites. The app serves the
// path that the web server means, and a guarded page stays guarded however a client writes
// its path.

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

// elsewhere is an app that makes its own access checks and serves its own error pages.
type elsewhere struct {
	secrets atomic.Int64 // the number of times the guarded page was served
}

func (app *elsewhere) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	over, _ := scgi.FromContext(r.Context())
	switch p := path.Clean(r.URL.Path); {
	case p == "/auth":
		if c, err := r.Cookie("key"); err != nil || c.Value != "right" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	case strings.HasPrefix(p, "/private/"):
		app.secrets.Add(1)
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "secret, %d bytes, %v", len(body), err)
	case p == "/download":
		w.Header().Set("X-Accel-Redirect", "/files/a%20b?z=1")
	case p == "/missing":
		http.NotFound(w, r)
	default:
		if status, err := strconv.Atoi(over.Env.Get("REDIRECT_STATUS")); err == nil {
			w.WriteHeader(status) // for lighttpd and Apache; nginx keeps the status itself
		}
		fmt.Fprintf(w, "%s %s %s, %d bytes, asked for %s", r.Method, r.URL.Path, r.RequestURI, r.ContentLength, over.Env.Get("REQUEST_URI"))
	}
}

// start starts kind in front of app, with these directives and the stanza in a file.
// BACKEND in more stands for app's address.
func (app *elsewhere) start(t *testing.T, kind webserver.Kind, network, file, more string) (addr string) {
	t.Helper()
	return startBefore(t, app, kind, network, file, more)
}

func startBefore(t *testing.T, app http.Handler, kind webserver.Kind, network, file, more string) (addr string) {
	t.Helper()
	webserver.Need(t, kind)
	backend := serve(t, &scgi.Server{Handler: scgi.HTTPHandler(app)}, network)
	return webserver.Start(t, kind, webserver.Config{
		Stanza:  filepath.Join("testdata", file),
		Backend: backend,
		Extra:   strings.ReplaceAll(more, "BACKEND", scgiPass(backend)),
	})
}

// scgiPass returns an address in nginx's form.
func scgiPass(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return a.String()
}

// An elsewhereCase is a call and what the client must get for it.
type elsewhereCase struct {
	call
	status int
	body   string
}

func (c elsewhereCase) check(t *testing.T, addr string) {
	t.Helper()
	if a := c.do(t, addr); a.err != nil || a.status != c.status || !strings.HasPrefix(a.body, c.body) {
		t.Errorf("%s %s: got %d %.100q, %v, want %d %q", c.name(), c.target, a.status, a.body, a.err, c.status, c.body)
	}
}

func TestNginxRecipes(t *testing.T) {
	withKey := []string{"Cookie: key=right"}
	upload := strings.Repeat("u", 1000)
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			app := &elsewhere{}
			addr := app.start(t, webserver.Nginx, network, "nginx-recipes.conf", "client_max_body_size 1k;")
			for _, target := range []string{"/private/a", "/private/a?/auth", "/private/a#/auth", "//private/a", "/%70rivate/a", "/x/../private/a",
				"/x/%2e%2e/private/a", "/x%2F..%2Fprivate/a", "/auth/../private/a", "/private/../private/a", "/private/%2e%2e/private/auth"} {
				for _, method := range []string{"GET", "POST"} {
					c := elsewhereCase{call{method: method, target: target}, 401, ""}
					if method == "POST" {
						c.call.body = upload
					}
					c.check(t, addr)
				}
			}
			if n := app.secrets.Load(); n != 0 {
				t.Errorf("the guarded page was served %d times", n)
			}
			for _, c := range []elsewhereCase{
				{call{target: "/private/a", fields: withKey}, 200, "secret, 0 bytes, <nil>"},
				{call{method: "POST", target: "/private/a", fields: withKey, body: upload}, 200, "secret, 1000 bytes, <nil>"},
				{get("/auth"), 404, ""},
				{get("/files/a"), 404, ""},
				{get("/download"), 200, "GET /files/a b /files/a%20b?z=1, 0 bytes, asked for /download"},
				{call{method: "POST", target: "/download", body: upload}, 200, "GET /files/a b /files/a%20b?z=1, "},
				{get("/missing"), 404, "GET /errors/404 /errors/404, 0 bytes, asked for /missing"},
				{call{method: "POST", target: "/missing", body: upload}, 404, "GET /errors/404 /errors/404, "},
				{call{method: "POST", target: "/big", body: strings.Repeat("u", 2000)}, 413, "GET /errors/413 /errors/413, "},
				{get("/a%2Fb/../c?q"), 200, "GET /a/b/../c /a%2Fb/../c?q, 0 bytes, asked for /a%2Fb/../c?q"},
			} {
				c.check(t, addr)
			}
		})
	}
}

// A ServeMux routes by the undecoded path, and redirects only for dots that it sees there.
// What nginx guards stays guarded behind it.
func TestNginxGuardsServeMux(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/private/", http.StripPrefix("/private", http.FileServer(http.Dir(dir))))
	mux.HandleFunc("/auth", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	addr := startBefore(t, mux, webserver.Nginx, "tcp", "nginx-recipes.conf", "")
	for _, target := range []string{"/private/a", "/private/../a", "/private/%2e%2e/a", "/private/.%2e/a", "/private/x/%2e%2e%2f..%2Fa", "/private/%2e%2e%2fa", "/x/../private/%2e%2e/a"} {
		if a := get(target).do(t, addr); a.err != nil || strings.Contains(a.body, "secret") {
			t.Errorf("%s: got %d %q, %v", target, a.status, a.body, a.err)
		}
	}
}

// nginx's other ways to change the path of a request, at the root and under a prefix.
func TestNginxInternalRedirects(t *testing.T) {
	params := ` include scgi_params; scgi_param SCRIPT_NAME ""; scgi_param PATH_INFO $document_uri; scgi_pass BACKEND; }`
	for _, test := range []struct {
		file, more string
		elsewhereCase
	}{
		{"nginx.conf", `location = /old { rewrite ^ /new?added=1 last; }`,
			elsewhereCase{get("/old?x=2"), 200, "GET /new /new?added=1&x=2, "}},
		{"nginx.conf", `location = /here { rewrite ^ /there break;` + params,
			elsewhereCase{get("/here?x=2"), 200, "GET /there /there?x=2, "}},
		{"nginx.conf", `location = /added { set $args "$args&added=1";` + params,
			elsewhereCase{get("/added?x=2"), 200, "GET /added /added?x=2&added=1, "}},
		{"nginx.conf", `error_page 403 =200 /denied?by=nginx; location = /deny { deny all; }`,
			elsewhereCase{get("/deny?x=2"), 200, "GET /denied /denied?by=nginx, "}},
		{"nginx.conf", `location = /front { try_files /none @app; } location @app {` + params,
			elsewhereCase{get("/front?x=2"), 200, "GET /front /front?x=2, "}},
		{"nginx.conf", `location = /mirrored { mirror /mirror; mirror_request_body off;` + params,
			elsewhereCase{call{method: "POST", target: "/mirrored", body: "0123456789"}, 200, "POST /mirrored /mirrored, 10 bytes"}},
		{"nginx-prefix.conf", `location = /app/old { rewrite ^ /app/new last; }`,
			elsewhereCase{get("/app/old?x=2"), 200, "GET /app/new /app/new?x=2, "}},
		{"nginx-prefix.conf", `auth_request /app/check;`,
			elsewhereCase{get("/app/x?x=2"), 200, "GET /app/x /app/x?x=2, "}},
		{"nginx-prefix.conf", `location = /app/guarded { auth_request /app/check; ` + params,
			elsewhereCase{get("/app/guarded"), 200, "GET /app/guarded /app/guarded, "}},
	} {
		addr := new(elsewhere).start(t, webserver.Nginx, "tcp", test.file, test.more)
		test.check(t, addr)
	}
}

func TestLighttpdInternalRedirects(t *testing.T) {
	more := `server.modules += ( "mod_access", "mod_rewrite" )
url.rewrite-once = ( "^/old(\?.*)?$" => "/new?added=1", "^/added\?(.*)$" => "/added?added=1&$1" )
server.error-handler = "/denied"
$HTTP["url"] =~ "^/deny" { url.access-deny = ( "" ) }
`
	app := &elsewhere{}
	for _, network := range []string{"tcp", "unix"} {
		addr := app.start(t, webserver.Lighttpd, network, "lighttpd.conf", more)
		for _, c := range []elsewhereCase{
			{get("/old?x=2"), 200, "GET /new /new?added=1, 0 bytes, asked for /old?x=2"},
			{get("/added?x=2"), 200, "GET /added /added?added=1&x=2, "},
			{get("/deny?x=2"), 403, "GET /denied /denied, 0 bytes, asked for /deny?x=2"},
			{get("/a%2Fb/../c?q=%22%3c%zz"), 200, "GET /a/b/../c /a%2Fb/../c?q=%22%3c%zz, "},
		} {
			c.check(t, addr)
		}
	}
}

// A client that writes two question marks is denied what lighttpd denies, or gets another
// page: lighttpd before 1.4.85 treats the first as part of the path, and the app then does
// too.
func TestLighttpdTwoQuestionMarks(t *testing.T) {
	app := &elsewhere{}
	addr := app.start(t, webserver.Lighttpd, "tcp", "lighttpd.conf", `server.modules += ( "mod_access" )
$HTTP["url"] == "/private/a" { url.access-deny = ( "" ) }
`)
	elsewhereCase{get("/private/a"), 403, ""}.check(t, addr)
	elsewhereCase{get("/private/a?x"), 403, ""}.check(t, addr)
	a := get("/private/a?x?y").do(t, addr)
	if old := strings.HasPrefix(a.body, "secret"); a.status != 403 && !old {
		t.Errorf("got %d %q", a.status, a.body)
	}
}

func TestApacheInternalRedirects(t *testing.T) {
	htdocs := webserver.TempDir(t)
	if err := os.WriteFile(filepath.Join(htdocs, "page.shtml"), []byte(`A <!--#include virtual="/frag?f=1" -->`), 0o644); err != nil {
		t.Fatal(err)
	}
	more := `LoadModule rewrite_module "MODULES/mod_rewrite.so"
LoadModule alias_module "MODULES/mod_alias.so"
LoadModule mime_module "MODULES/mod_mime.so"
LoadModule filter_module "MODULES/mod_filter.so"
LoadModule include_module "MODULES/mod_include.so"
TypesConfig /dev/null
RewriteEngine On
RewriteRule "^/old" "/new?added=1" [PT]
RewriteRule "^/added" "/added?added=1" [PT,QSA]
Alias "/ssi" "` + htdocs + `"
ProxyPass "/ssi" "!"
<Directory "` + htdocs + `">
    Options +Includes
    Require all granted
    AddOutputFilter INCLUDES .shtml
</Directory>
<Location "/deny">
    Require all denied
</Location>
ErrorDocument 403 /denied?by=apache
`
	app := &elsewhere{}
	for _, network := range []string{"tcp", "unix"} {
		addr := app.start(t, webserver.Apache, network, "apache.conf", more)
		for _, c := range []elsewhereCase{
			{get("/old?x=2"), 200, "GET /new /new?added=1, 0 bytes, asked for /old?x=2"},
			{get("/added?x=2"), 200, "GET /added /added?added=1&x=2, "},
			{get("/ssi/page.shtml?q"), 200, "A GET /frag /frag?f=1, 0 bytes, asked for /ssi/page.shtml?q"},
			{get("/deny?x=2"), 403, "GET /denied /denied?by=apache, 0 bytes, asked for /deny?x=2"},
			{get("http://interop.test/deny?x=2"), 403, "GET /denied http://interop.test/denied?by=apache, "},
			{get("/a%2Fb/./c?q"), 200, "GET /a/b/./c /a%2Fb/./c?q, "},
			{get("/a%2Fb/../c?q"), 200, "GET /c /c?q, "},
		} {
			c.check(t, addr)
		}
	}
}
