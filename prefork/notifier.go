package prefork

// notifier.go notifies systemd of the program's state (sd_notify(3)). If systemd
// can't be reached or is slow, the notifier logs that, and the program is
// otherwise unaffected.

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
)

const (
	// notifyWait bounds the wait for a supervisor that does not read.
	notifyWait = 5 * time.Second

	// lastNotifyWait bounds that wait when the program stops.
	lastNotifyWait = time.Second
)

// A notifier sends states in order, from its own goroutine.
type notifier struct {
	log    *slog.Logger
	states chan string
	ended  chan struct{}
	fed    time.Time
	every  time.Duration // half of the watchdog's interval; 0: no watchdog
}

// newNotifier connects at once, because NOTIFY_SOCKET may be out of reach after
// the chroot. Without the variable the notifier sends nothing.
func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{log: log, states: make(chan string, 16), ended: make(chan struct{})}
	n.every = watchdogInterval(log) / 2
	var conn net.Conn
	if name := os.Getenv("NOTIFY_SOCKET"); name != "" {
		var err error
		conn, err = net.Dial("unixgram", name) // package net, too, takes "@" for the abstract namespace
		if err != nil {
			n.failed(err)
		}
	}
	go n.run(conn)
	return n
}

func (n *notifier) failed(err error) {
	n.log.Warn("prefork: can't notify systemd", "err", err)
}

func (n *notifier) run(conn net.Conn) {
	defer close(n.ended)
	for state := range n.states {
		if conn == nil {
			continue
		}
		_ = conn.SetWriteDeadline(time.Now().Add(notifyWait))
		if _, err := conn.Write([]byte(state)); err != nil {
			n.failed(err)
		}
	}
	if conn != nil {
		_ = conn.Close()
	}
}

// send never blocks. It drops the state if 16 others are queued.
func (n *notifier) send(state string) {
	select {
	case n.states <- state:
	default:
		n.failed(os.ErrDeadlineExceeded)
	}
}

// feed keeps systemd's watchdog alive, twice in each WatchdogSec=.
func (n *notifier) feed() {
	if n.every > 0 && time.Since(n.fed) >= n.every {
		n.fed = time.Now()
		n.send("WATCHDOG=1")
	}
}

// close waits for queued states, at most for lastNotifyWait.
func (n *notifier) close() {
	close(n.states)
	late := time.NewTimer(lastNotifyWait)
	defer late.Stop()
	select {
	case <-n.ended:
	case <-late.C:
	}
}

// reloading returns the message that starts a reload under Type=notify-reload.
func reloading() string { return fmt.Sprint("RELOADING=1\nMONOTONIC_USEC=", monotonicUsec()) }

// watchdogInterval returns WatchdogSec=, or 0 if this process has no watchdog.
// Without WATCHDOG_PID the watchdog is for any process (sd_watchdog_enabled(3)).
func watchdogInterval(log *slog.Logger) time.Duration {
	usec, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	n, err := strconv.ParseUint(usec, 10, 53)
	if err != nil || n == 0 {
		log.Warn("prefork: WATCHDOG_USEC is not a number", "value", fmt.Sprintf("%.30q", usec))
		return 0
	}
	return time.Duration(n) * time.Microsecond
}
