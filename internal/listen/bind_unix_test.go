//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// bind_unix_test.go tests the socket as a file. Files are compared by os.SameFile,
// never by name.

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// tempSocket returns a path for a socket. Its folder must hold no hidden files when the
// test ends.
func tempSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "scgi") // t.TempDir's path is too long for a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		names, _ := filepath.Glob(filepath.Join(dir, ".*"))
		if len(names) > 0 {
			t.Errorf("left behind: %q", names)
		}
		os.RemoveAll(dir)
	})
	return filepath.Join(dir, "app.sock")
}

// staleSocket leaves a socket without a server at path.
func staleSocket(t *testing.T, path string) os.FileInfo {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	return mustLstat(t, path)
}

func mustLstat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func isGone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// access returns the file's mode, owner and group.
func access(info os.FileInfo) string {
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
}

func TestListenUnixAccess(t *testing.T) {
	uid, gid := os.Getuid(), os.Getgid()
	tests := []struct{ options, want string }{
		{"", fmt.Sprintf("Srw-rw---- %d:%d", uid, gid)},
		{"?mode=0666", fmt.Sprintf("Srw-rw-rw- %d:%d", uid, gid)},
		{"?mode=600", fmt.Sprintf("Srw------- %d:%d", uid, gid)},
		{fmt.Sprintf("?owner=%d&group=%d&mode=0777", uid, gid), fmt.Sprintf("Srwxrwxrwx %d:%d", uid, gid)},
	}
	if me, err := user.Current(); err == nil {
		tests = append(tests, struct{ options, want string }{"?owner=" + me.Username, fmt.Sprintf("Srw-rw---- %d:%d", uid, gid)})
	}
	if uid == 0 {
		tests = append(tests, struct{ options, want string }{"?owner=12345&group=12346&mode=0600", "Srw------- 12345:12346"})
	}
	for _, test := range tests {
		path := tempSocket(t)
		l := mustListen(t, "unix:"+path+test.options)
		if got := access(mustLstat(t, path)); got != test.want {
			t.Errorf("%q: got %s, want %s", test.options, got, test.want)
		}
		if l.Addr().String() != path {
			t.Errorf("%q: the address is %v", test.options, l.Addr())
		}
		checkServes(t, l)
	}
}

// The socket has its final mode and owner before the first peer can connect.
func TestListenUnixSetsAccessBeforeConnections(t *testing.T) {
	options, want := "?mode=0666", fmt.Sprintf("Srw-rw-rw- %d:%d", os.Getuid(), os.Getgid())
	if os.Getuid() == 0 {
		options, want = "?mode=0606&owner=12345&group=12346", "Srw----rw- 12345:12346"
	}
	for range 100 {
		path := tempSocket(t)
		first := make(chan string, 1)
		stop := make(chan struct{})
		go func() { first <- firstAccess(path, stop) }()
		l, err := One("unix:" + path + options)
		close(stop)
		if got := <-first; got != want {
			t.Fatalf("the first connection found %q, want %q", got, want)
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}

// firstAccess tries to connect to path until it succeeds, and once more after stop.
func firstAccess(path string, stop <-chan struct{}) string {
	for last := false; ; runtime.Gosched() {
		c, err := net.Dial("unix", path)
		if err == nil {
			defer c.Close()
			info, err := os.Lstat(path)
			if err != nil {
				return err.Error()
			}
			return access(info)
		}
		if last {
			return err.Error()
		}
		select {
		case <-stop:
			last = true
		default:
		}
	}
}

func TestListenUnixReplacesStale(t *testing.T) {
	path := tempSocket(t)
	staleSocket(t, path)
	l := mustListen(t, "unix:"+path)
	checkServes(t, l)
	l.Close()
	if !isGone(path) {
		t.Error("Close left the file")
	}
}

func TestListenUnixRefusesLive(t *testing.T) {
	path := tempSocket(t)
	live := mustListen(t, "unix:"+path)
	if _, err := One("unix:" + path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("got %v, want %v", err, syscall.EADDRINUSE)
	}
	// Listen probed the live server with a connection that sends nothing.
	peer, err := live.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if n, err := peer.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if !isFile(path, live.file) {
		t.Error("the live server's socket is gone")
	}
	checkServes(t, live)
}

// A server whose backlog is full is alive.
func TestListenUnixRefusesFullBacklog(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system refuses connections to a full backlog, as to a dead socket")
	}
	path := tempSocket(t)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	full := false
	for i := 0; i < 10 && !full; i++ {
		c, err := net.Dial("unix", path)
		if full = errors.Is(err, syscall.EAGAIN); err == nil {
			defer c.Close()
		}
	}
	if _, err := One("unix:" + path); !full || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("backlog full: %v; got %v, want %v", full, err, syscall.EADDRINUSE)
	}
	mustLstat(t, path)
}

func TestListenUnixRefusesOtherFiles(t *testing.T) {
	makers := map[string]func(path string) error{
		"file":     func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"folder":   func(path string) error { return os.Mkdir(path, 0o700) },
		"fifo":     func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"dangling": func(path string) error { return os.Symlink("nowhere", path) },
		"link to a stale socket": func(path string) error {
			staleSocket(t, path+"2")
			return os.Symlink(path+"2", path)
		},
	}
	for name, create := range makers {
		path := tempSocket(t)
		if err := create(path); err != nil {
			t.Fatal(err)
		}
		before := mustLstat(t, path)
		if _, err := One("unix:" + path); !errors.Is(err, errNotSocket) {
			t.Errorf("%s: got %v, want %v", name, err, errNotSocket)
		}
		if !isFile(path, before) {
			t.Errorf("%s: it is gone", name)
		}
	}
}

func TestListenUnixNoFolder(t *testing.T) {
	path := filepath.Join(tempSocket(t), "x")
	if _, err := One("unix:" + path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
}

func TestListenUnixLongPath(t *testing.T) {
	dir := filepath.Dir(tempSocket(t))
	longest := maxUnixPath - len(dir+"/")
	for size, want := range map[int]error{longest: nil, longest + 1: errAddrLong} {
		l, err := One("unix:" + filepath.Join(dir, strings.Repeat("x", size)))
		if !errors.Is(err, want) {
			t.Errorf("path of %d bytes: got %v, want %v", size, err, want)
		}
		if err == nil {
			checkServes(t, l)
			l.Close()
		}
	}
}

// Where the folder's absolute path is too long, Listen binds the relative path as given.
// Close still removes the file after the program has changed its folder.
func TestListenUnixLongFolder(t *testing.T) {
	dir := filepath.Join(filepath.Dir(tempSocket(t)), strings.Repeat("x", maxUnixPath))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	staleSocket(t, "s")
	l := mustListen(t, "unix:s")
	checkServes(t, l)
	t.Chdir("..")
	l.Close()
	if path := filepath.Join(dir, "s"); !isGone(path) {
		t.Errorf("Close left %s", path)
	}
}

// Peers and tools such as ss(8) see the name that a socket was bound to.
func TestListenUnixPeersSeeThePath(t *testing.T) {
	path := tempSocket(t)
	l := mustListen(t, "unix:"+path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.RemoteAddr().String(); got != path {
		t.Errorf("a peer is connected to %q, want %q", got, path)
	}
	if got := l.Addr().String(); got != path {
		t.Errorf("the listener's address is %q, want %q", got, path)
	}
}
