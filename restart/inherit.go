package restart

// inherit.go owns the process that takes over. Rule: a socket that was passed
// is the old process's until this one has said that it serves.

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"example.com/scgi"
)

// variable holds the addresses of the sockets that were passed, in order. The
// descriptors before them are the standard ones and the way to call Ready.
const (
	variable    = "SCGI_RESTART"
	readyFD     = 3
	firstSocket = 4
)

type passed struct {
	addr string
	fd   int
}

// join makes one word of addrs, which may have blanks in them.
func join(addrs []string) string {
	escaped := make([]string, len(addrs))
	for i, addr := range addrs {
		escaped[i] = url.QueryEscape(addr)
	}
	return strings.Join(escaped, " ")
}

// split is the reverse of join.
func split(s string) []string {
	addrs := strings.Fields(s)
	for i, escaped := range addrs {
		addrs[i], _ = url.QueryUnescape(escaped)
	}
	return addrs
}

// init takes what was passed out of the sight of processes that this one starts.
func (h *Handover) init() {
	value, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	_ = os.Unsetenv(variable)
	closeOnExec(readyFD)
	h.told = os.NewFile(readyFD, "ready")
	for i, addr := range split(value) {
		closeOnExec(firstSocket + i)
		h.passed = append(h.passed, passed{addr, firstSocket + i})
	}
}

// open listens on addr.
func (h *Handover) open(addr string) (net.Listener, error) {
	i := slices.IndexFunc(h.passed, func(p passed) bool { return p.addr == addr })
	if i < 0 {
		return scgi.Listen(addr)
	}
	l, err := scgi.Listen(fmt.Sprint("fd:", h.passed[i].fd))
	if err != nil {
		return nil, err
	}
	h.passed = slices.Delete(h.passed, i, i+1)
	if own, ok := l.(listener); ok {
		own.SetAddr(addr)
	}
	return l, nil
}

// Ready says that this process serves on all that it listens on: to the process
// that started it by Upgrade, which then ends, or else to systemd, by
// Notify(Ready). It belongs after the start of Serve; connections made before
// that wait. Sockets that were passed and not asked for are closed.
//
// Its error is Notify's, and no reason to stop serving.
func (h *Handover) Ready() error {
	h.once.Do(h.init)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told == nil {
		return Notify(Ready)
	}
	for _, p := range h.passed {
		_ = os.NewFile(uintptr(p.fd), p.addr).Close()
	}
	var addrs []string
	for _, s := range h.sockets {
		addrs = append(addrs, s.addr)
	}
	// An old process that gives up on this one kills it first. So if this
	// fails, it has ended, and all is this one's all the same.
	_, _ = fmt.Fprintln(h.told, join(addrs))
	_ = h.told.Close()
	h.told, h.passed = nil, nil
	for _, s := range h.sockets {
		s.SetInherited(isForeign(s.addr))
	}
	return nil
}

// isForeign reports whether a socket is a supervisor's, who keeps it when this
// program has ended.
func isForeign(addr string) bool {
	return strings.HasPrefix(addr, "fd:") || strings.HasPrefix(addr, "systemd:")
}
