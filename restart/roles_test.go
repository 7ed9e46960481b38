//go:build unix

package restart

// roles_test.go owns the new processes that never become ready. Rule: one that
// ends with status 0 has found all as it should be.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// mute never becomes ready; with an argument, it also gives up the means to.
func mute(args []string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	if len(args) > 0 {
		var h Handover
		h.once.Do(h.init)
		_ = h.told.Close()
	}
	say("mute")
	<-signals
	return nil
}

// early wants to hand over what it has not got yet.
func early(args []string) error {
	var h Handover
	if _, err := h.Listen(args[0]); err != nil {
		return err
	}
	if err := h.Upgrade(context.Background()); !errors.Is(err, errNotReady) {
		return fmt.Errorf("Upgrade before Ready: %w", err)
	}
	return nil
}

// parent takes one of the sockets, and then starts a process that must not get
// any.
func parent(args []string) error {
	var h Handover
	if _, err := h.Listen(args[0]); err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=child")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// child fails if it was passed anything.
func child([]string) error {
	if value, ok := os.LookupEnv(variable); ok {
		return fmt.Errorf("%s is still %q", variable, value)
	}
	for fd := readyFD; fd < firstSocket+4; fd++ {
		var stat syscall.Stat_t
		if syscall.Fstat(fd, &stat) != nil {
			continue
		}
		if kind := stat.Mode & syscall.S_IFMT; kind == syscall.S_IFSOCK || kind == syscall.S_IFIFO {
			return fmt.Errorf("file descriptor %d is open: %o", fd, kind)
		}
	}
	return nil
}

// watchdog fails if systemd's is not for this process.
func watchdog([]string) error {
	if interval, err := watchdogInterval(); interval == 0 || err != nil {
		return fmt.Errorf("interval %v: %w", interval, err)
	}
	return nil
}
