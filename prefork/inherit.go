package prefork

// inherit.go owns what a parent passes to a child: one environment variable, and
// the file descriptors it speaks of. Rule: nothing of it is passed any further.

import (
	"encoding/json"
	"fmt"
	"net"
	"os"

	"example.com/scgi/internal/listen"
)

// variable holds the legacy of a child.
const variable = "SCGI_PREFORK"

// A child's file descriptors, after the standard ones.
const (
	commandFD = 3 + iota
	reportFD
	programFD   // /dev/null where the program is started by its path
	firstSocket // of those for SCGI; one for HTTP may follow
)

// A legacy says what a child was started for.
type legacy struct {
	Addr, HTTPAddr string // of the parent's Program
	Sockets        int    // for SCGI; with HTTPAddr, another follows
	Back           string // where the front end finds the server
	Bound          bool   // the sockets are not a supervisor's
}

func (l *legacy) sockets() int {
	if l.HTTPAddr != "" {
		return l.Sockets + 1
	}
	return l.Sockets
}

// inherited is nil in a process that no parent has started. It is read before
// main, so that no process which main starts is taken for a child, or holds a
// socket.
var inherited = readLegacy()

func readLegacy() *legacy {
	value, ok := os.LookupEnv(variable)
	if !ok {
		return nil
	}
	_ = os.Unsetenv(variable)
	l := new(legacy)
	if json.Unmarshal([]byte(value), l) != nil {
		return nil
	}
	for fd := commandFD; fd < firstSocket+l.sockets(); fd++ {
		closeOnExec(fd)
	}
	closeFD(programFD)
	setProcessName(os.Args[0])
	return l
}

// service opens what was passed, for s.
func (l *legacy) service(s *settings) (*service, error) {
	if l.Addr != s.Addr || l.HTTPAddr != s.HTTPAddr {
		return nil, fmt.Errorf("%w: %.200q and %.200q, not %.200q and %.200q", errAddresses, s.Addr, s.HTTPAddr, l.Addr, l.HTTPAddr)
	}
	var listeners []net.Listener
	for i := range l.sockets() {
		sock, err := listen.Shared(firstSocket+i, l.Bound)
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, sock)
	}
	if l.HTTPAddr == "" {
		return newService(s, listeners, nil, ""), nil
	}
	return newService(s, listeners[:l.Sockets], listeners[l.Sockets], l.Back), nil
}
