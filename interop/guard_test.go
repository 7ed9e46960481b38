package interop_test

// guard_test.go tests whether a folder that the web server denies stays denied behind an
// app that serves files by the decoded path, as http.FileServer does.

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

// denyPrivate has the directives that make each web server deny /private/.
var denyPrivate = map[webserver.Kind]string{
	webserver.Nginx: `location ^~ /private/ { deny all; }`,
	webserver.Lighttpd: `server.modules += ( "mod_access" )
$HTTP["url"] =~ "^/private/" { url.access-deny = ( "" ) }`,
	webserver.Apache: `<Location "/private/">
	Require all denied
</Location>`,
}

// fileApp is a ServeMux with files, among them /private/a, and a page whose path has a
// wildcard segment.
func fileApp(t *testing.T) http.Handler {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "private"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "private", "a"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("/{name}/page", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "page of %s", r.PathValue("name"))
	})
	return mux
}

func TestDeniedFolderStaysDenied(t *testing.T) {
	s := site{handler: scgi.HTTPHandler(fileApp(t)), extra: denyPrivate}
	s.each(t, func(t *testing.T, fr front) {
		for _, target := range []string{
			"/private/a", "//private/a", "/%70rivate/a", "/x/../private/a", "/x/%2e%2e/private/a", "http://interop.test/private/a",
			"/private%2Fa", "/private%2fa", "/%2Fprivate/a", "/private%2F/a", "/.%2Fprivate/a", "/x%2F..%2Fprivate%2Fa", "http://interop.test/private%2Fa",
		} {
			get(target).do(t, fr.addr).ok(t, http.StatusForbidden)
		}
		// These paths name other files, for the web server and the app alike.
		for _, target := range []string{"/private%252Fa", "/private%5Ca", "/private;/a", "/PRIVATE/a"} {
			get(target).do(t, fr.addr).ok(t, http.StatusNotFound)
		}
		for _, target := range []string{"/private%00/a", "/private%2Fa%00"} {
			if a := get(target).do(t, fr.addr); a.err != nil || a.status < 400 || strings.Contains(a.body, "secret") {
				t.Errorf("%s: got %d %q, %v", target, a.status, a.body, a.err)
			}
		}
		// The web server's rules saw /public/a/page; the ServeMux saw one segment.
		if a := get("/public%2Fa/page").do(t, fr.addr).ok(t, http.StatusOK); a.body != "page of public/a" {
			t.Errorf("got %q", a.body)
		}
	})
}

// AllowEncodedSlashes NoDecode opens the folder, so the stanza has On.
func TestApacheNoDecodeOpensDeniedFolder(t *testing.T) {
	stanza, err := os.ReadFile(filepath.Join("testdata", "apache.conf"))
	if err != nil {
		t.Fatal(err)
	}
	webserver.Need(t, webserver.Apache)
	for setting, status := range map[string]int{"NoDecode": http.StatusOK, "Off": http.StatusNotFound} {
		file := filepath.Join(t.TempDir(), "apache.conf")
		text := strings.ReplaceAll(string(stanza), "AllowEncodedSlashes On", "AllowEncodedSlashes "+setting)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		addr := webserver.Start(t, webserver.Apache, webserver.Config{
			Stanza:  file,
			Backend: serve(t, &scgi.Server{Handler: scgi.HTTPHandler(fileApp(t))}, "tcp"),
			Extra:   denyPrivate[webserver.Apache],
		})
		get("/private/a").do(t, addr).ok(t, http.StatusForbidden)
		get("/private%2Fa").do(t, addr).ok(t, status)
	}
}
