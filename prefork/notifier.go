package prefork

// notifier.go owns what systemd is told, by sd_notify(3). Rule: systemd is told,
// not asked: where it can't be reached, or is slow, the log says so and nothing
// else changes.

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

	// lastNotifyWait bounds the wait for it at the end of the program.
	lastNotifyWait = time.Second
)

// A notifier sends states on a goroutine of its own, in order.
type notifier struct {
	log    *slog.Logger
	states chan string
	ended  chan struct{}
	fed    time.Time
	every  time.Duration // of the watchdog; 0: there is none
}

// newNotifier connects at once: NOTIFY_SOCKET may not be reachable any more when
// the process is contained. Without the variable nothing is sent.
func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{log: log, states: make(chan string, 16), ended: make(chan struct{})}
	n.every = watchdogInterval(log) / 2
	var conn net.Conn
	if name := os.Getenv("NOTIFY_SOCKET"); name != "" {
		var err error
		conn, err = net.Dial("unixgram", name) // "@" is the abstract namespace to net, too
		if err != nil {
			n.failed(err)
		}
	}
	go n.run(conn)
	return n
}

func (n *notifier) failed(err error) {
	n.log.Warn("prefork: systemd can't be told how the program is", "err", err)
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

// send never waits. It drops a state that finds 16 others waiting.
func (n *notifier) send(state string) {
	select {
	case n.states <- state:
	default:
		n.failed(os.ErrDeadlineExceeded)
	}
}

// feed tells systemd's watchdog that the program works, in half of WatchdogSec=.
func (n *notifier) feed() {
	if n.every > 0 && time.Since(n.fed) >= n.every {
		n.fed = time.Now()
		n.send("WATCHDOG=1")
	}
}

// close waits for what is still to be sent, but not for long.
func (n *notifier) close() {
	close(n.states)
	late := time.NewTimer(lastNotifyWait)
	defer late.Stop()
	select {
	case <-n.ended:
	case <-late.C:
	}
}

// reloading is what systemd's Type=notify-reload wants to hear first.
func reloading() string { return fmt.Sprint("RELOADING=1\nMONOTONIC_USEC=", monotonicUsec()) }

// watchdogInterval is WatchdogSec=, or 0 if there is none for this process.
// Without WATCHDOG_PID it is for whoever is there (sd_watchdog_enabled(3)).
func watchdogInterval(log *slog.Logger) time.Duration {
	usec, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	n, err := strconv.ParseUint(usec, 10, 53)
	if err != nil || n == 0 {
		log.Warn("prefork: WATCHDOG_USEC is no number", "value", fmt.Sprintf("%.30q", usec))
		return 0
	}
	return time.Duration(n) * time.Microsecond
}
