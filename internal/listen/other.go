//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package listen

// other.go owns what is left of listening where sockets have no modes
// and processes inherit none, as on Windows. Rule: what can't be kept is
// refused, not ignored.

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// bindUnix binds to path itself: there are no permissions to set before.
func bindUnix(path string, o unixOptions) (*Listener, error) {
	if o.given {
		return nil, fmt.Errorf("%w: a socket has no mode, owner or group here: %w", errAddrOption, errors.ErrUnsupported)
	}
	var unix *net.UnixListener
	err := claim(path, func() (err error) {
		unix, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if _, missing := os.Lstat(path); err != nil && missing == nil {
			return fs.ErrExist
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	unix.SetUnlinkOnClose(false)
	file, err := os.Lstat(path)
	if err != nil {
		unix.Close()
		return nil, err
	}
	return &Listener{socket: unix, bound: true, path: path, file: file}, nil
}

// lockDir can't lock here.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }

// isRefused knows Windows' own number, too, which package syscall has no name
// for.
func isRefused(err error) bool {
	const wsaECONNREFUSED = syscall.Errno(10061)
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, wsaECONNREFUSED)
}

func listenFD(string) (*Listener, error) {
	return nil, fmt.Errorf("inherited sockets: %w", errors.ErrUnsupported)
}

func listenSystemd(string) ([]*Listener, error) {
	return nil, fmt.Errorf("socket activation: %w", errors.ErrUnsupported)
}
