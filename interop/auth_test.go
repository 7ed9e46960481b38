package interop_test

// auth_test.go tests REMOTE_USER, in which the web server states who the client is. No
// header of the client sets it.

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

const (
	alice   = "Authorization: Basic YWxpY2U6c2VjcmV0"     // alice:secret
	mallory = "Authorization: Basic bWFsbG9yeTpzZWNyZXQ=" // mallory:secret
)

// refusingAmbiguity are the web servers that refuse X_Y beside X-Y, to which CGI gives the
// same variable.
var refusingAmbiguity = lighttpd.from("1.4.83")

func TestRemoteUser(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, _ := scgi.FromContext(r.Context())
		fmt.Fprintf(w, "user %q by %q", req.Env.Get("REMOTE_USER"), req.Env.Get("AUTH_TYPE"))
	})
	s := site{handler: scgi.HTTPHandler(h), extra: requireUser(t)}
	s.each(t, func(t *testing.T, fr front) {
		get("/").do(t, fr.addr).ok(t, http.StatusUnauthorized)
		call{target: "/", fields: []string{mallory}}.do(t, fr.addr).ok(t, http.StatusUnauthorized)
		want := `user "alice" by "Basic"`
		if fr.kind == webserver.Nginx {
			// nginx sends neither without "scgi_param REMOTE_USER $remote_user;".
			want = `user "" by ""`
		}
		for _, forged := range [][]string{nil, {"Remote-User: root"}, {"Remote_User: root"}, {"Remote-User: root", "Remote_User: root"}} {
			c := call{target: "/", fields: append(forged, alice)}
			if len(forged) == 2 && refusingAmbiguity.include(fr) {
				c.do(t, fr.addr).ok(t, http.StatusBadRequest)
				continue
			}
			if a := c.do(t, fr.addr).ok(t, http.StatusOK); a.body != want {
				t.Errorf("%q: got %s, want %s", forged, a.body, want)
			}
		}
	})
}

// requireUser has the directives that make each web server ask for alice's password.
func requireUser(t *testing.T) map[webserver.Kind]string {
	t.Helper()
	dir := webserver.TempDir(t)
	hashed, plain := filepath.Join(dir, "htpasswd"), filepath.Join(dir, "plain")
	// {SHA} is the SHA-1 of "secret" in Base64.
	for file, line := range map[string]string{hashed: "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", plain: "alice:secret\n"} {
		if err := os.WriteFile(file, []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return map[webserver.Kind]string{
		webserver.Nginx: fmt.Sprintf(`auth_basic "site"; auth_basic_user_file %s;`, hashed),
		webserver.Lighttpd: fmt.Sprintf(`server.modules += ( "mod_auth", "mod_authn_file" )
auth.backend = "plain"
auth.backend.plain.userfile = "%s"
auth.require = ( "" => ( "method" => "basic", "realm" => "site", "require" => "valid-user" ) )`, plain),
		webserver.Apache: fmt.Sprintf(`<Location "/">
	AuthType Basic
	AuthName "site"
	AuthUserFile "%s"
	Require valid-user
</Location>`, hashed),
	}
}
