package prefork

// inherit.go passes a parent's sockets and settings to a child, in one
// environment variable and the file descriptors that it names. The child passes
// none of them on.

import (
	"encoding/json"
	"fmt"
	"net"
	"os"

	"example.com/scgi/internal/listen"
)

// variable names the environment variable that holds a child's legacy.
const variable = "SCGI_PREFORK"

// A child's file descriptors after the standard ones.
const (
	commandFD = 3 + iota
	reportFD
	programFD   // /dev/null if the program is started by its path
	firstSocket // the SCGI sockets; one for HTTP may follow
)

// A legacy tells a child what it was started for.
type legacy struct {
	Addr, HTTPAddr string // of the parent's Program
	Sockets        int    // the number of SCGI sockets; with HTTPAddr, one more follows
	Back           string // the address at which the front end reaches the server
	Bound          bool   // the parent created the sockets: they are not a supervisor's
}

func (l *legacy) sockets() int {
	if l.HTTPAddr != "" {
		return l.Sockets + 1
	}
	return l.Sockets
}

// inherited is nil in a process that no parent has started. It is read before
// main, so that a process which main starts neither holds a socket nor passes for
// a child.
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

// service opens the inherited sockets for s.
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
