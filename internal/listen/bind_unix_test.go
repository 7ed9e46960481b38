//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// bind_unix_test.go owns the tests of the socket as a file. Rule: whose file it
// is, is judged by the file itself, never by its name.

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
	"sync"
	"syscall"
	"testing"
	"time"
)

// tempSocket returns a path for a socket, in a folder that must be empty but for
// that when the test ends.
func tempSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "scgi") // TempDir's own is too long on some systems
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

// staleSocket leaves a socket at path with nobody behind it.
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

// access is what decides who can connect.
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

// Nobody may see the socket with another mode or owner than the final one, or
// before it listens.
func TestListenUnixAccessFromTheFirst(t *testing.T) {
	options, want := "?mode=0666", fmt.Sprintf("Srw-rw-rw- %d:%d", os.Getuid(), os.Getgid())
	if os.Getuid() == 0 {
		options, want = "?mode=0606&owner=12345&group=12346", "Srw----rw- 12345:12346"
	}
	for range 100 {
		path := tempSocket(t)
		first := make(chan string, 1)
		stop := make(chan struct{})
		go func() { first <- firstSeen(path, stop) }()
		l, err := One("unix:" + path + options)
		close(stop)
		if got := <-first; got != want {
			t.Fatalf("first seen as %q, want %q", got, want)
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}

// firstSeen looks for path until it shows, and at least once after stop.
func firstSeen(path string, stop <-chan struct{}) string {
	for last := false; ; runtime.Gosched() {
		info, err := os.Lstat(path)
		if err == nil {
			c, err := net.Dial("unix", path)
			if err != nil {
				return err.Error()
			}
			c.Close()
			return access(info)
		}
		if last {
			return "nothing"
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
	stale := staleSocket(t, path)
	l := mustListen(t, "unix:"+path)
	if os.SameFile(stale, mustLstat(t, path)) {
		t.Error("the stale socket is still there")
	}
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
	// What the live one sees of it is a connection without a byte.
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

// A server that is too busy to answer is alive.
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

// The temporary name must fit, too.
func TestListenUnixLongFolder(t *testing.T) {
	t.Chdir(filepath.Dir(tempSocket(t)))
	longest := maxUnixPath - len("/"+privateLongest)
	for size, want := range map[int]error{longest: nil, longest + 1: errAddrLong} {
		dir := strings.Repeat("x", size)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := One("unix:" + dir + "/s")
		if !errors.Is(err, want) {
			t.Errorf("folder of %d bytes: got %v, want %v", size, err, want)
		}
		if err == nil {
			l.Close()
		}
	}
}

// Of those who find the same dead socket one gets its place, and keeps it.
func TestListenUnixRace(t *testing.T) {
	for range 50 {
		path := tempSocket(t)
		staleSocket(t, path)
		const racers = 4
		won := make(chan *Listener, racers)
		var group sync.WaitGroup
		for range racers {
			group.Go(func() {
				l, err := One("unix:" + path)
				if err == nil {
					won <- l
				} else if !errors.Is(err, syscall.EADDRINUSE) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if len(won) != 1 {
			t.Fatalf("%d of %d listen", len(won), racers)
		}
		l := <-won
		if !isFile(path, l.file) {
			t.Fatal("the winner's socket is gone")
		}
		l.Close()
	}
}

// While another decides about a dead socket, its path is not to be touched.
func TestListenUnixWaitsForLock(t *testing.T) {
	path := tempSocket(t)
	stale := staleSocket(t, path)
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		l, err := One("unix:" + path)
		if err == nil {
			l.Close()
		}
		result <- err
	}()
	for start := time.Now(); time.Since(start) < 50*time.Millisecond; runtime.Gosched() {
		if !isFile(path, stale) {
			t.Fatal("the socket was replaced without the lock")
		}
	}
	os.Remove(path)
	live, err := net.Listen("unix", path)
	unlock()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if err := <-result; !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v, want %v", err, syscall.EADDRINUSE)
	}
	checkServes(t, live)
}

func TestCloseLeavesSuccessor(t *testing.T) {
	path := tempSocket(t)
	old := mustListen(t, "unix:"+path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	successor := mustListen(t, "unix:"+path)
	old.Close()
	checkServes(t, successor)
}

// After the first Close the inode number is free for another file.
func TestSecondCloseLeavesSuccessor(t *testing.T) {
	path := tempSocket(t)
	old := mustListen(t, "unix:"+path)
	old.Close()
	successor := mustListen(t, "unix:"+path)
	old.file = successor.file
	old.Close()
	checkServes(t, successor)
}

// net would unlink by name alone, and the temporary name can be another's by
// then.
func TestCloseLeavesTemporaryName(t *testing.T) {
	l := mustListen(t, "unix:"+tempSocket(t))
	name := l.Unwrap().Addr().String()
	private := filepath.Dir(name)
	if err := errors.Join(os.Mkdir(private, 0o700), os.WriteFile(name, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	l.Close()
	mustLstat(t, name)
	os.RemoveAll(private)
}

// Where there are no links, a rename must not replace anything either.
func TestMoveLocked(t *testing.T) {
	path := tempSocket(t)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, name := mustLstat(t, path), path+"2"
	stale := staleSocket(t, name)
	if err := moveLocked(name, path); !errors.Is(err, fs.ErrExist) || !isFile(path, taken) {
		t.Errorf("got %v, want %v and the file left alone", err, fs.ErrExist)
	}
	if err := moveLocked(name, path+"3"); err != nil || !isFile(path+"3", stale) || !isGone(name) {
		t.Errorf("not moved: %v", err)
	}
}

// Links to folders are refused: they stand for a file system without links.
func TestMoveWithoutLinks(t *testing.T) {
	path := tempSocket(t)
	folder := filepath.Join(filepath.Dir(path), "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := move(folder, path); err != nil || isGone(path) {
		t.Errorf("not moved: %v", err)
	}
}
