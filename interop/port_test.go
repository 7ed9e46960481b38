package interop_test

// port_test.go tests the port in r.Host. An app behind a copy of nginx's stanza works on
// any port.

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

// startFile starts nginx with the stanza in a file in front of h.
func startFile(t *testing.T, file string, h http.Handler) (addr string) {
	t.Helper()
	backend := serve(t, &scgi.Server{Handler: scgi.HTTPHandler(h)}, "tcp")
	return webserver.Start(t, webserver.Nginx, webserver.Config{Stanza: "testdata/" + file, Backend: backend})
}

func TestNginxKeepsThePort(t *testing.T) {
	webserver.Need(t, webserver.Nginx)
	tellHost := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	for _, file := range []string{"nginx.conf", "nginx-prefix.conf", "nginx-recipes.conf"} {
		addr := startFile(t, file, tellHost)
		for host, want := range map[string]string{
			addr:                 addr,
			"interop.test":       "interop.test",
			"interop.test:80":    "interop.test:80",
			"Interop.TEST.:8080": "interop.test:8080",
			"[::1]:8080":         "[::1]:8080",
		} {
			if a := (call{target: "/app/x", host: host}).do(t, addr); a.body != want {
				t.Errorf("%s: Host %s: got %d %q, want %q", file, host, a.status, a.body, want)
			}
		}
		// nginx routes by the host of an absolute URI, so the app must get the same host.
		a := call{target: "http://interop.test/app/x", host: "evil.test:8080"}.do(t, addr)
		if strings.Contains(a.body, "evil") {
			t.Errorf("%s: absolute URI: %d %q", file, a.status, a.body)
		}
	}
}

// A form on the app's own page is same-origin; one on another site's page is not.
func TestNginxSameOrigin(t *testing.T) {
	webserver.Need(t, webserver.Nginx)
	form := http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.FormValue("a")) }))
	addr := startFile(t, "nginx.conf", form)
	_, port, _ := strings.Cut(addr, ":")
	for origin, status := range map[string]int{
		"http://" + addr:           http.StatusOK,
		"http://127.0.0.1":         http.StatusForbidden,
		"http://evil.test:" + port: http.StatusForbidden,
	} {
		a := call{method: "POST", target: "/", host: addr, body: "a=b", fields: []string{"Origin: " + origin, "Content-Type: application/x-www-form-urlencoded"}}.do(t, addr)
		if a.status != status {
			t.Errorf("Origin %s: got %d %q, want %d", origin, a.status, a.body, status)
		}
	}
}

// A stanza that adds $http_host after the include of scgi_params keeps the port too.
func TestNginxHTTPHost(t *testing.T) {
	webserver.Need(t, webserver.Nginx)
	backend := serve(t, &scgi.Server{Handler: scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))}, "tcp")
	addr := webserver.Start(t, webserver.Nginx, webserver.Config{
		Server: `server { listen LISTEN; location / { include scgi_params; scgi_param HTTP_HOST $host; scgi_param HTTP_HOST $http_host; scgi_pass ` + backend.String() + `; } }`,
	})
	if a := (call{target: "/", host: addr}).do(t, addr); a.body != addr {
		t.Errorf("got %d %q, want %q", a.status, a.body, addr)
	}
	if a := (call{target: "http://interop.test/", host: "evil.test"}).do(t, addr); a.status != http.StatusBadRequest || strings.Contains(a.body, "evil") {
		t.Errorf("two hosts: %d %q", a.status, a.body)
	}
}
