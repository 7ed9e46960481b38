//go:build linux

package deploy_test

// chroot_test.go tests the chroot recipe with its script.

import (
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"example.com/scgi/internal/webserver"
)

const behindSocket = `server {
	listen LISTEN;
	location / {
		include scgi_params;
		scgi_pass unix:SOCKET;
	}
}
`

func TestChroot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can chroot")
	}
	uid, gid := ids(t, "nobody", "nogroup")
	webserver.Need(t, webserver.Nginx)
	dir := webserver.TempDir(t)
	root, path := filepath.Join(dir, "jail"), filepath.Join(dir, "app.sock")
	// The second start finds the files that the first has left.
	for _, signal := range []os.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		p := startApp(t, exec.Command("chroot/run.sh", root, path, buildApp(t)))
		stanza := strings.ReplaceAll(behindSocket, "SOCKET", path)
		client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		got, err := ask(client, http.MethodGet, "http://"+webserver.Start(t, webserver.Nginx, webserver.Config{Server: stanza}))
		if err != nil {
			t.Fatal(err)
		}
		if got.Parent != p.cmd.Process.Pid || got.UID != uid || got.GID != gid {
			t.Errorf("a child of process %d runs as %d:%d; want %d, %d:%d", got.Parent, got.UID, got.GID, p.cmd.Process.Pid, uid, gid)
		}
		if !slices.Equal(got.Groups, []int{gid}) || len(got.Root) > 0 || len(got.Env) > 0 {
			t.Errorf("the app has groups %v, sees %q in / and has the variables %q", got.Groups, got.Root, got.Env)
		}
		if err := p.end(t, signal); err != nil && signal == syscall.SIGTERM {
			t.Error(err)
		}
	}
}

func ids(t *testing.T, name, group string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Skip(err)
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		t.Skip(err)
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(g.Gid)
	if uidErr != nil || gidErr != nil {
		t.Fatal(uidErr, gidErr)
	}
	return uid, gid
}
