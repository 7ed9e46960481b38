package restart

// systemd.go owns what the program tells systemd. Rule: where systemd does not
// ask, nothing is sent and nothing fails.

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// States for Notify, as in sd_notify(3).
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// notifyTimeout bounds the wait for a supervisor that does not read.
const notifyTimeout = 5 * time.Second

// Notify sends state, one or more lines of NAME=VALUE, to the supervisor that
// NOTIFY_SOCKET names. Without that variable it does nothing and returns nil.
// The unit needs Type=notify or NotifyAccess=main.
func Notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.Dial("unixgram", name) // "@" is the abstract namespace to net, too
	if err != nil {
		return fmt.Errorf("restart: notify: %w", err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(notifyTimeout)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("restart: notify: %w", err)
	}
	return nil
}

// Watchdog tells systemd at half of the unit's WatchdogSec= that the program
// works, whenever healthy says so; nil stands for always. It returns nil at once
// if the unit has no watchdog or it is meant for another process, ctx's error
// when ctx ends, and otherwise the error of Notify or of a malformed
// WATCHDOG_USEC.
func Watchdog(ctx context.Context, healthy func() bool) error {
	interval, err := watchdogInterval()
	if interval == 0 || err != nil {
		return err
	}
	tick := time.NewTicker(max(interval/2, 1))
	defer tick.Stop()
	for {
		if healthy == nil || healthy() {
			if err := Notify("WATCHDOG=1"); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watchdogInterval is 0 without a watchdog for this process. Without
// WATCHDOG_PID it is for whoever is there (sd_watchdog_enabled(3)).
func watchdogInterval() (time.Duration, error) {
	usec, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseUint(usec, 10, 53)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("restart: WATCHDOG_USEC is %.30q: %w", usec, strconv.ErrSyntax)
	}
	return time.Duration(n) * time.Microsecond, nil
}
