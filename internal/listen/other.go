//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package listen

// other.go listens on systems such as Windows, where sockets have no modes and processes
// inherit none. An address that asks for either is an error.

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

func checkFolder(*os.Root) error { return nil }

func bindUnix(p *place, o unixOptions) (*Listener, error) {
	if o.given {
		return nil, fmt.Errorf("%w: a socket has no mode, owner or group here: %w", errAddrOption, errors.ErrUnsupported)
	}
	var l *net.UnixListener
	err := p.claim(func() (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: p.name, Net: "unix"})
		if _, missing := p.dir.Lstat(p.base); err != nil && missing == nil {
			return fs.ErrExist
		}
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	file, err := os.Lstat(p.path)
	if err != nil {
		l.Close()
		return nil, err
	}
	return &Listener{socket: l, bound: true, path: p.path, file: file}, nil
}

// isRefused also knows Windows' own error number, for which package syscall has no name.
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

// Release fails: this system can't pass a socket on.
func (l *Listener) Release() (fd int, remove func(), err error) {
	return -1, nil, fmt.Errorf("passing sockets on: %w", errors.ErrUnsupported)
}

func Shared(int, bool) (*Listener, error) {
	return nil, fmt.Errorf("inherited sockets: %w", errors.ErrUnsupported)
}
