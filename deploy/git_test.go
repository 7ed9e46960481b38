//go:build linux

package deploy_test

// git_test.go tests the recipe for a git server, with git as the client.

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/scgi/internal/webserver"
)

// buildCommand builds cmd/scgi.
func buildCommand(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "scgi")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/scgi").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

const (
	gitService = "git/git.service"
	gitSocket  = "git/git.socket"
)

// gitServer serves an empty repository as the recipe does, with the service's
// command line, and returns the URL of the server.
func gitServer(t *testing.T) (url string) {
	t.Helper()
	webserver.NeedProgram(t, "git", "git")
	webserver.Need(t, webserver.Nginx)
	dir := webserver.TempDir(t)
	git(t, dir, "init", "-q", "--bare", "srv/a.git")
	passwords := filepath.Join(dir, "htpasswd")
	if err := os.WriteFile(passwords, []byte("alice:{PLAIN}secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	scgi := buildCommand(t)
	path := filepath.Join(dir, filepath.Base(value(t, gitSocket, "ListenStream")))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	line := strings.NewReplacer("/usr/local/bin/scgi", scgi, "/srv/git", filepath.Join(dir, "srv")).Replace(value(t, gitService, "ExecStart"))
	// systemd sets LISTEN_PID between fork and exec; so does the shell.
	cmd := exec.Command("/bin/sh", "-c", "export LISTEN_PID=$$; exec "+line)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LISTEN_FDS=1", "LISTEN_FDNAMES=" + filepath.Base(gitSocket)}
	cmd.ExtraFiles = []*os.File{file}
	startApp(t, cmd)
	conf := strings.NewReplacer("listen 80;", "listen LISTEN;", "/run/git.sock", path, "/etc/nginx/git.htpasswd", passwords).
		Replace(readFile(t, "git/nginx.conf"))
	return "http://" + webserver.Start(t, webserver.Nginx, webserver.Config{Server: conf})
}

// tryGit runs git without the user's own configuration.
func tryGit(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@x", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@x")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("git %q: %w\n%s", args, err, out)
	}
	return string(out), err
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestGit(t *testing.T) {
	url := gitServer(t)
	login := strings.Replace(url, "http://", "http://alice:secret@", 1)
	dir := t.TempDir()
	git(t, dir, "clone", "-q", url+"/a.git", "first")
	first := filepath.Join(dir, "first")
	// The file is larger than http.postBuffer, so git sends it in chunks.
	content := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	if err := os.WriteFile(filepath.Join(first, "file"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	git(t, first, "add", "file")
	git(t, first, "commit", "-q", "-m", "one")

	if _, err := tryGit(first, "push", "-q", url+"/a.git", "HEAD:main"); err == nil {
		t.Error("a push without a login was accepted")
	}
	if _, err := tryGit(first, "push", "-q", strings.Replace(login, "secret", "wrong", 1)+"/a.git", "HEAD:main"); err == nil {
		t.Error("a push with a wrong password was accepted")
	}
	git(t, first, "push", "-q", login+"/a.git", "HEAD:main")

	git(t, dir, "clone", "-q", "-b", "main", url+"/a.git", "second")
	got, err := os.ReadFile(filepath.Join(dir, "second", "file"))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("the clone differs: %d bytes, %v", len(got), err)
	}
	for i := range 3 {
		git(t, first, "commit", "-q", "--allow-empty", "-m", fmt.Sprint(i))
		git(t, first, "push", "-q", login+"/a.git", "HEAD:main")
		git(t, filepath.Join(dir, "second"), "pull", "-q")
	}
	if a, b := git(t, first, "rev-parse", "HEAD"), git(t, filepath.Join(dir, "second"), "rev-parse", "HEAD"); a != b {
		t.Errorf("pulled %s, want %s", b, a)
	}
}

// nginx and git parse a query differently. Git refuses a push that nginx does not
// recognize as one.
func TestGitPushNeedsLogin(t *testing.T) {
	url := gitServer(t)
	for path, want := range map[string]int{
		"/a.git/info/refs?service=git-upload-pack":                          http.StatusOK,
		"/a.git/info/refs?service=git-receive-pack":                         http.StatusUnauthorized,
		"/a.git/info/refs?service=git-upload-pack&service=git-receive-pack": http.StatusForbidden,
		"/a.git/info/refs?x=&service=git%2Dreceive-pack":                    http.StatusForbidden,
		"/a.git/git-receive-pack":                                           http.StatusUnauthorized,
		"/a.git/git%2Dreceive-pack":                                         http.StatusUnauthorized,
		"/b.git/info/refs?service=git-upload-pack":                          http.StatusNotFound,
		"/../../../etc/info/refs":                                           http.StatusBadRequest,
	} {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = path
		req.SetBasicAuth("mallory", "guess") // would become REMOTE_USER if nginx didn't check it
		resp, err := (&http.Client{Timeout: patience}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: got %s, want %d", path, resp.Status, want)
		}
	}
}
