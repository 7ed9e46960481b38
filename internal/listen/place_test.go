//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// place_test.go tests who gets a socket's path: locks, world-writable folders, and files
// that are swapped under Listen and Close.

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Of several servers that find the same dead socket, one takes its place and keeps it.
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

// lockFolder holds the lock on path's folder until the returned function is called or
// the test ends.
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

// Listen does not touch a dead socket while another process holds the lock.
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

// Anyone who can read a folder can hold its lock, so a new file must not need it.
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

func TestListenUnixWorldWritableFolder(t *testing.T) {
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

// The folder's owner puts another file in the socket's place while Listen sets the
// socket up. That file keeps its mode and owner.
func TestListenUnixFileIsSwapped(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // forces Listen to change the mode
	precious := tempSocket(t)
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := mustLstat(t, precious)
	symlink := func(path string) error { return errors.Join(os.Remove(path), os.Symlink(precious, path)) }
	link := func(path string) error { return errors.Join(os.Remove(path), os.Link(precious, path)) }
	folder := func(path string) error { // takes the place of the private folder
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
	const met = "?mode=0600" // the precious file's own mode
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

// After the first Close another file may get the inode number.
func TestSecondCloseLeavesSuccessor(t *testing.T) {
	path := tempSocket(t)
	old := mustListen(t, "unix:"+path)
	old.Close()
	successor := mustListen(t, "unix:"+path)
	old.file = successor.file
	old.Close()
	checkServes(t, successor)
}
