package interop_test

// path_test.go has the table of what a path becomes: net/http's URL and CGI's two
// variables, at the root and under a prefix. The documentation is made from this table, and
// every row was observed.

import (
	"encoding/json"
	"net/http"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

// A mapping is what an app gets for a path.
type mapping struct {
	URI, Path        string // http.Request's RequestURI and URL.Path
	Script, PathInfo string // SCRIPT_NAME and PATH_INFO, "-" if not set
}

// A pathCase has no mapping for a web server that answers the request itself.
type pathCase struct {
	target                  string
	nginx, lighttpd, apache mapping
}

var rootPaths = []pathCase{
	{target: "/",
		nginx:    mapping{"/", "/", "", "/"},
		lighttpd: mapping{"/", "/", "", "/"},
		apache:   mapping{"/", "/", "/", "-"},
	},
	{target: "/app",
		nginx:    mapping{"/app", "/app", "", "/app"},
		lighttpd: mapping{"/app", "/app", "", "/app"},
		apache:   mapping{"/app", "/app", "/app", "-"},
	},
	{target: "/app/a%20b/c?d=e",
		nginx:    mapping{"/app/a%20b/c?d=e", "/app/a b/c", "", "/app/a b/c"},
		lighttpd: mapping{"/app/a%20b/c?d=e", "/app/a b/c", "", "/app/a b/c"},
		apache:   mapping{"/app/a%20b/c?d=e", "/app/a b/c", "/app/a b/c", "-"},
	},
	{target: "/a%2Fb",
		nginx:    mapping{"/a%2Fb", "/a/b", "", "/a/b"},
		lighttpd: mapping{"/a%2Fb", "/a/b", "", "/a/b"},
		apache:   mapping{"/a%2Fb", "/a/b", "/a/b", "-"},
	},
	{target: "/a//b",
		nginx:    mapping{"/a//b", "/a//b", "", "/a/b"},
		lighttpd: mapping{"/a//b", "/a//b", "", "/a/b"},
		apache:   mapping{"/a//b", "/a//b", "/a/b", "-"},
	},
	{target: "/a/../b",
		nginx:    mapping{"/a/../b", "/a/../b", "", "/b"},
		lighttpd: mapping{"/a/../b", "/a/../b", "", "/b"},
		apache:   mapping{"/a/../b", "/a/../b", "/b", "-"},
	},
	{target: "/a/../../b",
		lighttpd: mapping{"/a/../../b", "/a/../../b", "", "/b"},
	},
	{target: "/%C3%A9",
		nginx:    mapping{"/%C3%A9", "/é", "", "/é"},
		lighttpd: mapping{"/%C3%A9", "/é", "", "/é"},
		apache:   mapping{"/%C3%A9", "/é", "/é", "-"},
	},
	{target: "http://interop.test/abs",
		nginx:    mapping{"/abs", "/abs", "", "/abs"},
		lighttpd: mapping{"/abs", "/abs", "", "/abs"},
		apache:   mapping{"http://interop.test/abs", "/abs", "/abs", "-"},
	},
}

var prefixPaths = []pathCase{
	{target: "/app",
		nginx:    mapping{"/app", "/app", "/app", ""},
		lighttpd: mapping{"/app", "/app", "/app", "-"},
		apache:   mapping{"/app", "/app", "/app", "-"},
	},
	{target: "/app/",
		nginx:    mapping{"/app/", "/app/", "/app", "/"},
		lighttpd: mapping{"/app/", "/app/", "/app", "/"},
		apache:   mapping{"/app/", "/app/", "/app/", "-"},
	},
	{target: "/app/a%20b/c?d=e",
		nginx:    mapping{"/app/a%20b/c?d=e", "/app/a b/c", "/app", "/a b/c"},
		lighttpd: mapping{"/app/a%20b/c?d=e", "/app/a b/c", "/app", "/a b/c"},
		apache:   mapping{"/app/a%20b/c?d=e", "/app/a b/c", "/app/a b/c", "-"},
	},
	{target: "/app/a%2Fb",
		nginx:    mapping{"/app/a%2Fb", "/app/a/b", "/app", "/a/b"},
		lighttpd: mapping{"/app/a%2Fb", "/app/a/b", "/app", "/a/b"},
		apache:   mapping{"/app/a%2Fb", "/app/a/b", "/app/a/b", "-"},
	},
	{target: "/app//b",
		nginx:    mapping{"/app//b", "/app//b", "/app", "/b"},
		lighttpd: mapping{"/app//b", "/app//b", "/app", "/b"},
		apache:   mapping{"/app//b", "/app//b", "/app/b", "-"},
	},
	{target: "/app/a/../b",
		nginx:    mapping{"/app/a/../b", "/app/a/../b", "/app", "/b"},
		lighttpd: mapping{"/app/a/../b", "/app/a/../b", "/app", "/b"},
		apache:   mapping{"/app/a/../b", "/app/a/../b", "/app/b", "-"},
	},
	{target: "/x/../app/b",
		nginx:    mapping{"/x/../app/b", "/x/../app/b", "/app", "/b"},
		lighttpd: mapping{"/x/../app/b", "/x/../app/b", "/app", "/b"},
		apache:   mapping{"/x/../app/b", "/x/../app/b", "/app/b", "-"},
	},
	{target: "/%61pp/b",
		nginx:    mapping{"/%61pp/b", "/app/b", "/app", "/b"},
		lighttpd: mapping{"/%61pp/b", "/app/b", "/app", "/b"},
		apache:   mapping{"/%61pp/b", "/app/b", "/app/b", "-"},
	},
	{target: "/app2"},
	{target: "/app/../b"},
	{target: "/"},
	{target: "http://interop.test/app/abs",
		nginx:    mapping{"/app/abs", "/app/abs", "/app", "/abs"},
		lighttpd: mapping{"/app/abs", "/app/abs", "/app", "/abs"},
		apache:   mapping{"http://interop.test/app/abs", "/app/abs", "/app/abs", "-"},
	},
}

func TestPathsAtTheRoot(t *testing.T)    { testPaths(t, false, rootPaths) }
func TestPathsUnderAPrefix(t *testing.T) { testPaths(t, true, prefixPaths) }

func testPaths(t *testing.T, prefix bool, cases []pathCase) {
	s := site{handler: scgi.HTTPHandler(http.HandlerFunc(tellMapping)), prefix: prefix}
	s.each(t, func(t *testing.T, fr front) {
		for _, c := range cases {
			want := c.want(fr.kind)
			if got := askMapping(t, c.target, fr); got != want {
				t.Errorf("%s:\ngot  %q\nwant %q", c.target, got, want)
			}
		}
	})
}

func (c pathCase) want(kind webserver.Kind) mapping {
	return map[webserver.Kind]mapping{
		webserver.Nginx: c.nginx, webserver.Lighttpd: c.lighttpd, webserver.Apache: c.apache,
	}[kind]
}

func askMapping(t *testing.T, target string, fr front) (m mapping) {
	t.Helper()
	a := get(target).do(t, fr.addr)
	if a.header.Get("X-From") != "app" {
		if a.status < 400 {
			t.Errorf("%s: got %d, %v", target, a.status, a.err)
		}
		return m
	}
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Errorf("%s: %v in %q", target, err, a.body)
	}
	return m
}

func tellMapping(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-From", "app")
	m := mapping{URI: r.RequestURI, Path: r.URL.Path, Script: "-", PathInfo: "-"}
	if req, ok := scgi.FromContext(r.Context()); ok {
		if v, ok := req.Env.Lookup("SCRIPT_NAME"); ok {
			m.Script = v
		}
		if v, ok := req.Env.Lookup("PATH_INFO"); ok {
			m.PathInfo = v
		}
	}
	_ = json.NewEncoder(w).Encode(m)
}
