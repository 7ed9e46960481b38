package listen

// place.go decides whether Listen may take the path of a unix socket. Listen removes
// nothing but a socket that refuses connections, and only under a lock that every
// process with this package takes.

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

// maxUnixPath is the length of sun_path without its final NUL.
const maxUnixPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// A place is the path at which a unix socket's file is created.
type place struct {
	path string   // absolute, so that it means the same file after os.Chdir
	name string   // passed to bind and connect: path, unless that is too long
	dir  *os.Root // the folder
	base string   // the file's name in dir
}

func listenUnix(s string) (*Listener, error) {
	path, o, err := parseUnix(s)
	if err != nil {
		return nil, err
	}
	p, err := openPlace(path)
	if err != nil {
		return nil, err
	}
	defer p.dir.Close()
	return bindUnix(p, o)
}

func openPlace(given string) (*place, error) {
	path, err := absolute(given)
	if err != nil {
		return nil, err
	}
	name := path
	if len(path) > maxUnixPath {
		name = given
	}
	if len(name) > maxUnixPath {
		return nil, fmt.Errorf("%w: %d bytes of at most %d", errAddrLong, len(name), maxUnixPath)
	}
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := checkFolder(dir); err != nil {
		dir.Close()
		return nil, err
	}
	return &place{path, name, dir, filepath.Base(path)}, nil
}

// absolute returns path as an absolute path, unchanged if it is one. It resolves symbolic
// links in the current folder's name, because "../x" means the parent of the folder, not
// the parent of the link.
func absolute(path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	if wd, err = filepath.EvalSymlinks(wd); err != nil {
		return "", err
	}
	return filepath.Join(wd, path), nil
}

// claim calls bind, which creates the file or fails with fs.ErrExist if there is one. It
// then removes a dead server's socket and tries again, unless it has no lock (lockErr):
// without the lock, two processes that find the same dead socket could remove each
// other's new one.
func (p *place) claim(bind func() error, lockErr error) error {
	for range 5 { // a process that takes no lock may create the file in between
		err := bind()
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := p.removeStale(lockErr); err != nil {
			return err
		}
	}
	return syscall.EADDRINUSE
}

// removeStale removes the file if it is a socket without a server.
func (p *place) removeStale(lockErr error) error {
	found, err := p.dir.Lstat(p.base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case found.Mode().Type() != fs.ModeSocket:
		return errNotSocket
	case isAlive(p.name):
		return fmt.Errorf("%w: a server is, or may be, behind it", syscall.EADDRINUSE)
	case lockErr != nil:
		return fmt.Errorf("lock the folder to replace a dead socket: %w", lockErr)
	case !p.has(found):
		return nil // gone or replaced: try again
	}
	return p.dir.Remove(p.base)
}

// has reports whether the place still holds the file seen before.
func (p *place) has(file os.FileInfo) bool {
	now, err := p.dir.Lstat(p.base)
	return err == nil && os.SameFile(now, file)
}

// isAlive reports whether a server is, or may be, behind the socket called name. Only a
// refused connection means no: EACCES tells nothing, and on Linux EAGAIN means a full
// backlog. (The BSDs refuse in that case too.) If a server answers, isAlive closes the
// connection without sending a byte, as web servers do.
func isAlive(name string) bool {
	c, err := net.DialTimeout("unix", name, time.Second)
	if err == nil {
		c.Close()
	}
	return !isRefused(err) && !errors.Is(err, fs.ErrNotExist)
}
