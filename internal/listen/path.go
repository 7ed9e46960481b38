package listen

// path.go owns the unix socket as a file: its options, and whose the
// path is. Rule: nothing is replaced but a socket that refuses connections, and
// that only under a lock that every process with this package takes.

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// unixOptions is what follows the "?" of a unix address.
type unixOptions struct {
	given    bool
	mode     fs.FileMode
	uid, gid int // -1: as it comes
}

const defaultUnixMode = 0o660 // the server's own user and group, as PHP-FPM has it

// maxUnixPath is the length of sun_path without its final NUL.
const maxUnixPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// parseUnix splits the part of an address after "unix:".
func parseUnix(s string) (path string, o unixOptions, err error) {
	path, options, given := strings.Cut(s, "?")
	o = unixOptions{given: given, mode: defaultUnixMode, uid: -1, gid: -1}
	switch {
	case path == "" || strings.Contains(path, "\x00"):
		return "", o, errAddrSyntax
	case path[0] == '@':
		return "", o, errAddrAbstract
	case len(path) > maxUnixPath:
		return "", o, fmt.Errorf("%w: %d bytes of at most %d", errAddrLong, len(path), maxUnixPath)
	case given:
		err = o.parse(options)
	}
	return path, o, err
}

func (o *unixOptions) parse(options string) error {
	seen := make(map[string]bool)
	for option := range strings.SplitSeq(options, "&") {
		name, value, _ := strings.Cut(option, "=")
		if seen[name] {
			return fmt.Errorf("%w: %.100q is given twice", errAddrOption, name)
		}
		seen[name] = true
		if err := o.set(name, value); err != nil {
			return fmt.Errorf("%w %.100q: %w", errAddrOption, option, err)
		}
	}
	return nil
}

func (o *unixOptions) set(name, value string) (err error) {
	switch name {
	case "mode":
		o.mode, err = parseMode(value)
	case "owner":
		o.uid, err = parseID(value, lookupUser)
	case "group":
		o.gid, err = parseID(value, lookupGroup)
	default:
		err = errors.New("the options are mode, owner and group")
	}
	return err
}

// parseMode reads octal permission bits.
func parseMode(s string) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(s, 8, 32)
	if err != nil {
		return 0, err
	}
	if mode > 0o777 {
		return 0, strconv.ErrRange
	}
	return fs.FileMode(mode), nil
}

// parseID reads a number, or a name that lookup finds the number of.
func parseID(s string, lookup func(string) (string, error)) (int, error) {
	if s == "" {
		return 0, strconv.ErrSyntax
	}
	if strings.Trim(s, "0123456789") != "" {
		found, err := lookup(s)
		if err != nil {
			return 0, err
		}
		s = found
	}
	id, err := strconv.ParseUint(s, 10, 32)
	if err == nil && id == 1<<32-1 {
		err = strconv.ErrRange // chown(2) takes it for "leave as it is"
	}
	return int(id), err
}

func lookupUser(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func lookupGroup(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

func listenUnix(s string) (*Listener, error) {
	path, o, err := parseUnix(s)
	if err != nil {
		return nil, err
	}
	return bindUnix(path, o)
}

// claim gives path to its caller: put makes the file, or fails with
// fs.ErrExist if there is one, which is then removed if it is stale.
func claim(path string, put func() error) error {
	for range 5 { // as often as others may come in between
		err := put()
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := removeStale(path); err != nil {
			return err
		}
	}
	return syscall.EADDRINUSE
}

// removeStale removes the socket at path if no server is behind it. Without the
// lock, two that find the same dead socket could remove each other's new one.
func removeStale(path string) error {
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("lock the folder to replace the file: %w", err)
	}
	defer unlock()
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case found.Mode().Type() != fs.ModeSocket:
		return errNotSocket
	case isAlive(path):
		return fmt.Errorf("%w: a server is, or may be, behind it", syscall.EADDRINUSE)
	case !isFile(path, found):
		return nil // gone, or another: look again
	}
	return os.Remove(path)
}

// isAlive reports whether a server is, or may be, behind the socket at path.
// Only a refused connection says no: without permission nothing is known, and on
// Linux EAGAIN is a full backlog. (The BSDs refuse then too; it can't be told.)
// Where one answers, the connection is closed without a byte, as web servers do.
func isAlive(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	return !isRefused(err) && !errors.Is(err, fs.ErrNotExist)
}
