package prefork

// link.go owns the child's ends of the two pipes to its parent. Rule: a child
// does not outlive its parent, and never waits for it.

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// reportWait bounds the wait for a parent that is stopped or very slow.
const reportWait = time.Millisecond

type link struct {
	reports *os.File
	rest    []byte // of a line that the pipe had no room for
}

// openLink returns the link, and a channel of the parent's commands.
func openLink() (*link, <-chan byte, error) {
	reports, err := nonblocking(reportFD, "reports")
	if err != nil {
		return nil, nil, err
	}
	commands := make(chan byte)
	go readCommands(commands)
	return &link{reports: reports}, commands, nil
}

// readCommands blocks a thread of its own: it is there to the end of the
// process, as the parent-death signal needs, and reads even where the poller is
// stuck.
func readCommands(commands chan<- byte) {
	runtime.LockOSThread()
	dieWithParent()
	var b [1]byte
	for readFD(commandFD, b[:]) == 1 {
		commands <- b[0]
	}
	fmt.Fprintf(os.Stderr, "prefork: the parent of process %d is gone\n", os.Getpid())
	os.Exit(1)
}

// send drops the report if the pipe is full: then the parent has others.
func (l *link) send(r *report) {
	if len(l.rest) == 0 {
		l.rest = r.line()
	}
	_ = l.reports.SetWriteDeadline(time.Now().Add(reportWait))
	n, _ := l.reports.Write(l.rest)
	l.rest = l.rest[n:]
}
