//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// bind_unix.go owns the binding of a unix socket where files have modes.
// Rule: the path shows a socket that already listens and has its final mode,
// owner and group, or it shows none.

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The private folder, short because the name in it must fit sun_path too. One
// that a crash leaves behind can be removed by hand.
const (
	privatePattern = ".scgi"
	privateLongest = ".scgi4294967295/s"
)

// bindUnix binds in a private folder beside path, sets what o asks for, and
// links the socket to path. The umask is the whole process's, so it is left
// alone.
func bindUnix(path string, o unixOptions) (*Listener, error) {
	parent := filepath.Dir(path)
	if n := len(filepath.Join(parent, privateLongest)); n > maxUnixPath {
		return nil, fmt.Errorf("%w: its folder needs to be %d bytes shorter", errAddrLong, n-maxUnixPath)
	}
	private, err := os.MkdirTemp(parent, privatePattern)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	name := filepath.Join(private, "s")
	unix, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	unix.SetUnlinkOnClose(false)
	file, err := publish(name, path, o)
	if err != nil {
		unix.Close()
		return nil, err
	}
	return &Listener{socket: unix, bound: true, path: path, file: file}, nil
}

// publish gives the socket bound to name its permissions, and then the path.
func publish(name, path string, o unixOptions) (os.FileInfo, error) {
	// The mode first: who has given a file away may not change it any more.
	if err := os.Chmod(name, o.mode); err != nil {
		return nil, err
	}
	if err := os.Lchown(name, o.uid, o.gid); err != nil {
		return nil, err
	}
	file, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	return file, claim(path, func() error { return move(name, path) })
}

// move links name to path: a link never replaces a file. Some file systems have
// no links to sockets, and some kernels give none to a file given away.
func move(name, path string) error {
	err := os.Link(name, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	return moveLocked(name, path)
}

// moveLocked renames name to path. That could replace a file, but none of those
// who take the lock.
func moveLocked(name, path string) error {
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(name, path)
}

// lockDir locks a folder against others who call lockDir; the lock ends with the
// process. It waits for at most two seconds or so, since anyone who can read
// the folder can hold the lock.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for range 200 {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: dir, Err: err}
	}
	return func() { f.Close() }, nil
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
