//go:build linux

package deploy_test

// cgi_test.go tests the recipe for a folder of CGI programs. No path that a client
// sends leads out of the folder.

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/scgi/internal/webserver"
)

func TestCGIFolder(t *testing.T) {
	webserver.Need(t, webserver.Nginx)
	dir := webserver.TempDir(t)
	bin := filepath.Join(dir, "lib", "cgi-bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	const text = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; echo \"$SCRIPT_NAME|$PATH_INFO|$QUERY_STRING|$(wc -c)\"\n"
	for _, path := range []string{filepath.Join(bin, "a"), filepath.Join(dir, "lib", "outside")} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../outside", filepath.Join(bin, "link")); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "cgi.sock")
	startApp(t, exec.Command(buildCommand(t), "host", "-scgi", "unix:"+socket+"?mode=0666", bin))
	stanza := strings.NewReplacer("/usr/lib", filepath.Join(dir, "lib"), "/run/cgi.sock", socket).Replace(readFile(t, "cgi/nginx.conf"))
	url := "http://" + webserver.Start(t, webserver.Nginx, webserver.Config{Server: "server {\nlisten LISTEN;\n" + stanza + "\n}\n"})
	for path, want := range map[string]string{
		"/cgi-bin/a":                   "200 /cgi-bin/a|||4",
		"/cgi-bin/a/in%20fo?q":         "200 /cgi-bin/a|/in fo|q|4",
		"/cgi-bin/missing":             "404",
		"/cgi-bin/":                    "404",
		"/cgi-bin/link":                "403",
		"/cgi-bin/a/../../outside":     "404",
		"/cgi-bin/..%2foutside":        "404",
		"/cgi-bin/%2e%2e/outside":      "404",
		"/cgi-bin/a%00/../../outside":  "400",
		"/cgi-bin//" + bin + "/../a":   "404",
		"/cgi-bin/x/../a":              "200 /cgi-bin/a|||4",
		"/cgi-bin/..\\outside?%2fa/..": "404",
	} {
		req, err := http.NewRequest(http.MethodPost, url, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = path
		resp, err := (&http.Client{Timeout: patience}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := resp.Status[:4] + string(body); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, %v; want %q", path, got, err, want)
		}
	}
}
