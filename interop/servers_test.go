package interop_test

// servers_test.go selects the web servers to which a row applies: some kinds, and of each
// every version or a range. The version is the one that the program reports. A range starts
// with the release that brought the change, where that is known.

import (
	"slices"
	"testing"

	"example.com/scgi/internal/webserver"
)

// servers are web servers of certain kinds and versions.
type servers []versions

// versions are the versions of a kind from one version on and before another. A zero
// version is no bound.
type versions struct {
	kind         webserver.Kind
	since, until webserver.Version
}

var (
	nginx    = servers{{kind: webserver.Nginx}}
	lighttpd = servers{{kind: webserver.Lighttpd}}
	apache   = servers{{kind: webserver.Apache}}
	joining  = slices.Concat(nginx.from("1.23"), lighttpd, apache)
	spooling = slices.Concat(nginx, lighttpd)
	each     = slices.Concat(nginx, lighttpd, apache)
)

// from returns the servers of at least this version.
func (s servers) from(version string) servers {
	s = slices.Clone(s)
	for i := range s {
		s[i].since = webserver.ParseVersion(version)
	}
	return s
}

// before returns the servers older than this version.
func (s servers) before(version string) servers {
	s = slices.Clone(s)
	for i := range s {
		s[i].until = webserver.ParseVersion(version)
	}
	return s
}

// include reports whether s includes the front's web server.
func (s servers) include(fr front) bool {
	return slices.ContainsFunc(s, func(v versions) bool {
		return v.kind == fr.kind && !fr.version.Before(v.since) &&
			(v.until == webserver.Version{} || fr.version.Before(v.until))
	})
}

func TestServersInclude(t *testing.T) {
	row := slices.Concat(nginx.from("1.23").before("1.30"), lighttpd)
	for server, want := range map[string]bool{"1.22.1": false, "1.23.0": true, "1.26.3": true, "1.30.0": false} {
		if got := row.include(front{kind: webserver.Nginx, version: webserver.ParseVersion(server)}); got != want {
			t.Errorf("nginx %s: %v", server, got)
		}
	}
	if !row.include(front{kind: webserver.Lighttpd, version: webserver.ParseVersion("1.4.69")}) {
		t.Error("lighttpd is not included")
	}
	if row.include(front{kind: webserver.Apache, version: webserver.ParseVersion("1.24")}) {
		t.Error("Apache is included")
	}
}
