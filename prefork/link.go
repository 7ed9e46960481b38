package prefork

// link.go is the child's ends of the two pipes to its parent. A child exits when
// its parent does, and never waits for it.

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// reportWait bounds the wait for a parent that is stopped or slow.
const reportWait = time.Millisecond

type link struct {
	reports *os.File
	rest    []byte // the rest of a line that did not fit in the pipe
}

// openLink returns the link and a channel of the parent's commands.
func openLink() (*link, <-chan byte, error) {
	reports, err := nonblocking(reportFD, "reports")
	if err != nil {
		return nil, nil, err
	}
	commands := make(chan byte)
	go readCommands(commands)
	return &link{reports: reports}, commands, nil
}

// readCommands blocks a thread of its own: it stays until the process ends, as
// the parent-death signal requires, and it reads even if the poller is stuck.
func readCommands(commands chan<- byte) {
	runtime.LockOSThread()
	dieWithParent()
	var b [1]byte
	for readFD(commandFD, b[:]) == 1 {
		commands <- b[0]
	}
	fmt.Fprintf(os.Stderr, "prefork: process %d exits because its parent is gone\n", os.Getpid())
	os.Exit(1)
}

// send drops the report if the pipe is full: the parent still has earlier ones to
// read.
func (l *link) send(r *report) {
	if len(l.rest) == 0 {
		l.rest = r.line()
	}
	_ = l.reports.SetWriteDeadline(time.Now().Add(reportWait))
	n, _ := l.reports.Write(l.rest)
	l.rest = l.rest[n:]
}
