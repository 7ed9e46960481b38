//go:build unix

package cgihost

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const printPaths = "#!/bin/sh\n" + `printf 'A: b\n\n'; echo "$SCRIPT_FILENAME|$SCRIPT_NAME|$PATH_INFO|$0|"; pwd -P`

// folder makes a folder of programs, with other folders beside it.
func folder(t *testing.T) (dir string) {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(top, "cgi-bin")
	for _, name := range []string{"cgi-bin/a", "cgi-bin/sub/b", "outside/c", "cgi-bin-2/d"} {
		write(t, filepath.Join(top, name), printPaths)
	}
	if err := os.Chmod(write(t, filepath.Join(dir, "plain"), printPaths), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{
		"in": "sub/b", "out": "../outside/c", "away": "/bin/sh", "outdir": "../outside", "loop": "loop", "dangling": "nowhere",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFolderFindsProgram(t *testing.T) {
	dir := folder(t)
	s := serve(t, &Host{Path: dir})
	for name, want := range map[string]struct{ script, info, dir string }{
		"a":           {"a", "", dir},
		"a/":          {"a", "/", dir},
		"a/x/../y//z": {"a", "/x/../y//z", dir},
		"sub/b":       {"sub/b", "", dir + "/sub"},
		"sub/b/info":  {"sub/b", "/info", dir + "/sub"},
		"in":          {"in", "", dir},
		"in/info":     {"in", "/info", dir},
	} {
		_, page := s.ask(t, "", "SCRIPT_FILENAME", dir+"/"+name, "SCRIPT_NAME", "/cgi-bin/"+name, "PATH_INFO", "")
		path := dir + "/" + want.script
		if want := path + "|/cgi-bin/" + want.script + "|" + want.info + "|" + path + "|\n" + want.dir + "\n"; page != want {
			t.Errorf("%s: got %q, want %q", name, page, want)
		}
	}
}

// Without SCRIPT_FILENAME, PATH_INFO is the path in the folder.
func TestFolderByPath(t *testing.T) {
	dir := folder(t)
	s := serve(t, &Host{Path: dir})
	for name, want := range map[string]string{
		"/a":             dir + "/a|/app/a||",
		"/sub/b/in/fo":   dir + "/sub/b|/app/sub/b|/in/fo|",
		"a":              dir + "/a|/app/a||",
		"":               "404",
		"/":              "404",
		"/missing":       "404",
		"//a":            "404",
		"/../outside/c":  "404",
		"/sub/../a":      "404",
		"/" + dir + "/a": "404",
		"/out":           "403",
		"/plain":         "403",
		"/sub":           "403",
	} {
		if _, page := s.ask(t, "", "SCRIPT_NAME", "/app", "PATH_INFO", name); !strings.HasPrefix(page, want) {
			t.Errorf("%q: got %q, want %q", name, page, want)
		}
	}
}

// If the web server has split the path, its PATH_INFO is passed on.
func TestFolderKeepsPathInfo(t *testing.T) {
	dir := folder(t)
	s := serve(t, &Host{Path: dir + "/"})
	_, page := s.ask(t, "", "SCRIPT_FILENAME", dir+"/a", "SCRIPT_NAME", "/s", "PATH_INFO", "/info")
	if !strings.Contains(page, "/a|/s|/info|") {
		t.Errorf("got %q", page)
	}
}

func TestFolderConfinesRequests(t *testing.T) {
	dir := folder(t)
	s := serve(t, &Host{Path: dir})
	for name, want := range map[string]string{
		"":                           "404",
		"a":                          "404",
		"/bin/sh":                    "404",
		dir:                          "404",
		dir + "-2/d":                 "404",
		dir + "/../outside/c":        "404",
		dir + "/sub/../../outside/c": "404",
		dir + "/sub/../a":            "404",
		dir + "/./a":                 "404",
		dir + "//bin/sh":             "404",
		dir + "/":                    "404",
		dir + "/sub//b":              "404",
		dir + "/missing":             "404",
		dir + "/missing/a":           "404",
		dir + "/dangling":            "404",
		dir + "/sub":                 "403",
		dir + "/plain":               "403",
		dir + "/plain/info":          "403",
		dir + "/out":                 "403",
		dir + "/away":                "403",
		dir + "/outdir/c":            "403",
		dir + "/loop":                "403",
		dir + "/fifo":                "403",
	} {
		if head, page := s.ask(t, "", "SCRIPT_FILENAME", name); status(head) != want {
			t.Errorf("%q: got %q %q, want %s", name, head, page, want)
		}
	}
	s.wantLog(t, "level=WARN", "SCRIPT_FILENAME")
}
