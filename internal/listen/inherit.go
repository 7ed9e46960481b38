//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// inherit.go opens sockets that the process was started with: a file descriptor by its
// number, and systemd's by name. It closes a descriptor only after it has opened a
// listener on a copy, and does not use the descriptor afterwards.

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

func listenFD(s string) (*Listener, error) {
	fd, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return nil, errAddrSyntax
	}
	l, err := inheritFD(int(fd))
	if err != nil {
		return nil, err
	}
	if err := releaseFD(int(fd)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// inheritFD opens a listener on a copy of fd. It leaves fd itself open, because a
// descriptor that is not a listening socket may be in use.
func inheritFD(fd int) (*Listener, error) {
	f, err := duplicate(fd)
	if err != nil {
		return nil, fmt.Errorf("%w: file descriptor %d: %w", errNotListening, fd, err)
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("%w: file descriptor %d: %w", errNotListening, fd, err)
	}
	s, ok := l.(socket)
	if !ok || !isListening(s) {
		l.Close()
		return nil, fmt.Errorf("%w: file descriptor %d", errNotListening, fd)
	}
	return &Listener{socket: s, inherited: true}, nil
}

func duplicate(fd int) (*os.File, error) {
	dup, err := duplicateFD(fd)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(dup), "inherited socket"), nil
}

func duplicateFD(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	dup, err := syscall.Dup(fd)
	if err != nil {
		return -1, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(dup)
	return dup, nil
}

// isListening reports whether s is a listening stream socket. If the system can't tell
// whether s listens, the answer is true.
func isListening(s socket) bool {
	if network := s.Addr().Network(); network != "tcp" && network != "unix" {
		return false // package net makes a listener of a datagram socket too
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	listens := 0
	control := raw.Control(func(fd uintptr) {
		listens, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	})
	return control == nil && (err != nil || listens != 0)
}

// releaseFD closes fd. It points a standard descriptor at the null device instead, since
// the next file to be opened would otherwise become, say, the standard output.
func releaseFD(fd int) error {
	if fd > 2 {
		return os.NewSyscallError("close", syscall.Close(fd))
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	return os.NewSyscallError("dup2", dup2(int(null.Fd()), fd))
}

const (
	firstPassed = 3       // SD_LISTEN_FDS_START
	maxPassed   = 1 << 16 // larger than any process's number of descriptors
)

// activation is the sockets that systemd passed, as sd_listen_fds_with_names(3)
// defines them.
type activation struct {
	mu      sync.Mutex
	sockets []*passedSocket
}

type passedSocket struct {
	fd    int
	name  string
	taken bool
}

// activated reads the environment once in the life of the process and clears it, so
// that no child takes the sockets for its own.
var activated = sync.OnceValues(func() (*activation, error) {
	a, err := parseActivation(os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"), os.Getpid())
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if err != nil {
		return nil, err
	}
	for _, s := range a.sockets {
		syscall.CloseOnExec(s.fd)
	}
	return a, nil
})

func listenSystemd(name string) ([]*Listener, error) {
	a, err := activated()
	if err != nil {
		return nil, err
	}
	return a.take(name)
}

// parseActivation parses the three variables for the process with the id self.
func parseActivation(pid, fds, fdNames string, self int) (*activation, error) {
	if pid == "" || fds == "" {
		return nil, fmt.Errorf("%w: LISTEN_PID and LISTEN_FDS are not set", errNotActivated)
	}
	if pid != strconv.Itoa(self) {
		return nil, fmt.Errorf("%w to this process, %d: LISTEN_PID is %.20q", errNotActivated, self, pid)
	}
	n, err := strconv.ParseUint(fds, 10, 31)
	if err != nil || n < 1 || n > maxPassed {
		return nil, fmt.Errorf("%w: LISTEN_FDS is %.20q", errNotActivated, fds)
	}
	names := slices.Repeat([]string{"unknown"}, int(n)) // as sd_listen_fds(3) calls them
	if fdNames != "" {
		names = strings.Split(fdNames, ":")
	}
	if len(names) != int(n) {
		return nil, fmt.Errorf("%w: LISTEN_FDNAMES has %d names for %d sockets", errNotActivated, len(names), n)
	}
	a := new(activation)
	for i, name := range names {
		a.sockets = append(a.sockets, &passedSocket{fd: firstPassed + i, name: name})
	}
	return a, nil
}

// take opens the sockets called name, or all sockets if name is "". If it can't open
// all of them, it opens none.
func (a *activation) take(name string) ([]*Listener, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sockets, err := a.find(name)
	if err != nil {
		return nil, err
	}
	var ls []*Listener
	for _, s := range sockets {
		l, err := inheritFD(s.fd)
		if err != nil {
			closeAll(ls)
			return nil, fmt.Errorf("%.100q: %w", s.name, err)
		}
		ls = append(ls, l)
	}
	for _, s := range sockets {
		s.taken = true
		releaseFD(s.fd) // the listener uses a copy, so an error does not matter
	}
	return ls, nil
}

func (a *activation) find(name string) ([]*passedSocket, error) {
	var found []*passedSocket
	var names []string
	for _, s := range a.sockets {
		names = append(names, s.name)
		if name != "" && name != s.name {
			continue
		}
		if s.taken {
			return nil, fmt.Errorf("%w: %.100q", errSocketTaken, s.name)
		}
		found = append(found, s)
	}
	if found == nil {
		return nil, fmt.Errorf("%w; there are %.1000s", errSocketUnknown, fmt.Sprintf("%q", names))
	}
	return found, nil
}
