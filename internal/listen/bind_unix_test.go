//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// bind_unix_test.go owns the tests of the socket as a file. Rule: files are
// compared by what they are, never by name.

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

// tempSocket returns a path for a socket, in a folder that must hold no hidden
// files when the test ends.
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

// staleSocket leaves a socket at path with no server behind it.
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

// Nobody can connect while the socket has another mode or owner than the final
// one.
func TestListenUnixAccessFromTheFirst(t *testing.T) {
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

// firstAccess connects to path until it succeeds, and at least once after stop.
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
	// The live server gets a connection without a byte.
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

// A server with a full backlog is alive.
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

// In a folder with a long name a relative path is bound as it is, and still
// removed after the program has changed its folder.
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

// Of the servers that find the same dead socket, one gets its place and keeps it.
func TestListenUnixRace(t *testing.T) {
	for range 50 {
		path := tempSocket(t)
		staleSocket(t, path)
		const racers = 4
		won := make(chan net.Listener, racers)
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
		if !isFile(path, l.(*Listener).file) {
			t.Fatal("the winner's socket is gone")
		}
		l.Close()
	}
}

// lockFolder holds the lock on path's folder until the returned function is
// called, or the test ends.
func lockFolder(t *testing.T, path string) (unlock func()) {
	t.Helper()
	p, err := openPlace(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.dir.Close()
	unlock, err = p.lock()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
	return unlock
}

// While another process decides about a dead socket, Listen does not touch it.
func TestListenUnixWaitsForLock(t *testing.T) {
	path := tempSocket(t)
	stale := staleSocket(t, path)
	unlock := lockFolder(t, path)
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

// Anyone who can read a folder can hold its lock.
func TestListenUnixNeedsNoLockForANewFile(t *testing.T) {
	defer func(tries int) { lockTries = tries }(lockTries)
	lockTries = 1
	path := tempSocket(t)
	lockFolder(t, path)
	checkServes(t, mustListen(t, "unix:"+path))

	path += "2"
	stale := staleSocket(t, path)
	if _, err := One("unix:" + path); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("dead socket: got %v, want %v", err, syscall.EWOULDBLOCK)
	}
	if !isFile(path, stale) {
		t.Error("the dead socket was replaced without the lock")
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

func TestListenUnixFolderOfEveryone(t *testing.T) {
	tests := []struct {
		parent, folder fs.FileMode
		want           error
	}{
		{0o755, 0o777, errFolder},
		{0o711, 0o777, errFolder},
		{0o700, 0o777, nil},
		{0o755, 0o777 | fs.ModeSticky, nil},
		{0o755, 0o775, nil},
	}
	for _, test := range tests {
		parent := filepath.Dir(tempSocket(t))
		folder := filepath.Join(parent, "folder")
		if err := errors.Join(os.Mkdir(folder, 0o700), os.Chmod(folder, test.folder), os.Chmod(parent, test.parent)); err != nil {
			t.Fatal(err)
		}
		l, err := One("unix:" + filepath.Join(folder, "s"))
		if !errors.Is(err, test.want) {
			t.Errorf("folder of mode %v in one of %v: got %v, want %v", test.folder, test.parent, err, test.want)
		}
		if err == nil {
			l.Close()
		}
	}
}

// The owner of the folder puts another file in the socket's place while Listen
// sets it up. That file keeps its mode and owner.
func TestListenUnixSwapped(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // so that the mode has to be changed
	precious := tempSocket(t)
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := mustLstat(t, precious)
	symlink := func(path string) error { return errors.Join(os.Remove(path), os.Symlink(precious, path)) }
	link := func(path string) error { return errors.Join(os.Remove(path), os.Link(precious, path)) }
	folder := func(path string) error { // in the place of the private one
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".scgi*"))
		return errors.Join(os.Rename(found[0], path+"2"), os.Mkdir(found[0], 0o700), os.Link(precious, found[0]+"/s"))
	}
	emptyFolder := func(path string) error {
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".scgi*"))
		return errors.Join(os.Rename(found[0], path+"2"), os.Mkdir(found[0], 0o700))
	}
	openFolder := func(path string) error {
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".scgi*"))
		return os.Chmod(found[0], 0o777)
	}
	options := "?mode=0666"
	if os.Getuid() == 0 {
		options += "&owner=12345"
	}
	const met = "?mode=0600" // as the precious file has it
	tests := []struct {
		name, step string
		swap       func(path string) error
		options    string
	}{
		{"removed", "bound", os.Remove, options},
		{"removed, mode met", "bound", os.Remove, met},
		{"symbolic link", "bound", symlink, options},
		{"symbolic link, mode met", "bound", symlink, met},
		{"link", "bound", link, options},
		{"link, mode met", "bound", link, met},
		{"symbolic link", "private", symlink, options},
		{"link", "private", link, options},
		{"folder", "private", folder, options},
		{"empty folder", "private", emptyFolder, options},
		{"open folder", "private", openFolder, options},
		{"symbolic link", "pinned", symlink, options},
		{"link", "pinned", link, options},
	}
	for _, test := range tests {
		t.Run(test.name+" when "+test.step, func(t *testing.T) {
			path := filepath.Join(filepath.Dir(tempSocket(t)), "folder", "app.sock")
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			swapped := false
			testHook = func(step string) {
				if step == test.step {
					swapped = true
					if err := test.swap(path); err != nil {
						t.Error(err)
					}
				}
			}
			defer func() { testHook = func(string) {} }()
			l, err := One("unix:" + path + test.options)
			if err == nil {
				l.Close()
			}
			if err == nil || !swapped {
				t.Errorf("swapped: %v; got %v", swapped, err)
			}
			if now := mustLstat(t, precious); access(now) != access(before) {
				t.Errorf("the precious file became %s", access(now))
			}
			if content, err := os.ReadFile(precious); string(content) != "precious" {
				t.Errorf("the precious file's content is %q, %v", content, err)
			}
		})
	}
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
