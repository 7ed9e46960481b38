//go:build unix

package restart

// systemd_test.go owns the tests of what systemd is told. Rule: the test is
// systemd, with a socket of its own.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// supervise sets NOTIFY_SOCKET to name and returns a function that reads the
// next message.
func supervise(t *testing.T, name string) (next func() string) {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return func() string {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func TestNotify(t *testing.T) {
	names := []string{filepath.Join(filepath.Dir(socketPath(t)), "notify")}
	if runtime.GOOS == "linux" {
		names = append(names, fmt.Sprint("@scgi-restart-test-", os.Getpid()))
	}
	for _, name := range names {
		next := supervise(t, name)
		for _, state := range []string{Ready, Stopping, "STATUS=busy\nERRNO=5"} {
			if err := Notify(state); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := next(); got != state {
				t.Errorf("%s: got %q, want %q", name, got, state)
			}
		}
	}
}

func TestNotifyNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(Ready); err != nil {
		t.Errorf("not asked for: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "missing"))
	if err := Notify(Ready); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("got %v, want %v", err, syscall.ENOENT)
	}
}

// systemd is told which process is the main one now.
func TestUpgradeUnderSystemd(t *testing.T) {
	out := output(t)
	next := supervise(t, socketPath(t))
	path := socketPath(t)
	var h Handover
	l := listen(t, &h, "unix:"+path)
	if err := h.Ready(); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != Ready {
		t.Errorf("got %q, want %q", got, Ready)
	}
	t.Setenv(roleEnv, "app unix:"+path)
	if err := h.Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := await(t, out, "ready")
	if got, want := next(), fmt.Sprint("MAINPID=", pid); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	l.Close()
	terminate(t, pid)
}

// Where systemd can't be told, it would end the new process with this one.
func TestUpgradeUntold(t *testing.T) {
	output(t)
	path := socketPath(t)
	var h Handover
	l := listen(t, &h, "unix:"+path)
	t.Setenv(roleEnv, "app unix:"+path)
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "missing"))
	if err := h.Upgrade(t.Context()); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("got %v, want %v", err, syscall.ENOENT)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	checkUnchanged(t, &h, l)
}

func TestUpgradePassesWatchdog(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	t.Setenv(roleEnv, "watchdog")
	var h Handover
	listen(t, &h, "127.0.0.1:0")
	if err := h.Upgrade(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestWatchdog(t *testing.T) {
	next := supervise(t, socketPath(t))
	t.Setenv("WATCHDOG_USEC", "10000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	checks := 0
	healthy := func() bool { checks++; return checks != 2 }
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 16*time.Second)
		defer cancel()
		if err := Watchdog(ctx, healthy); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	if checks != 4 { // at 0, 5, 10 and 15 s
		t.Errorf("%d checks, want 4", checks)
	}
	if err := Notify("END=1"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "END=1"} {
		if got := next(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestWatchdogInterval(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	tests := []struct {
		usec, pid string
		want      time.Duration
		err       error
	}{
		{"", "", 0, nil},
		{"", self, 0, nil},
		{"1500", "", 1500 * time.Microsecond, nil},
		{"1500", self, 1500 * time.Microsecond, nil},
		{"1500", "1", 0, nil},
		{"0", self, 0, strconv.ErrSyntax},
		{"-1", self, 0, strconv.ErrSyntax},
		{"1s", self, 0, strconv.ErrSyntax},
		{"9223372036854775807", self, 0, strconv.ErrSyntax},
	}
	for _, test := range tests {
		t.Setenv("WATCHDOG_USEC", test.usec)
		t.Setenv("WATCHDOG_PID", test.pid)
		got, err := watchdogInterval()
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%+v: got %v, %v", test, got, err)
		}
	}
	t.Setenv("WATCHDOG_USEC", "")
	if err := Watchdog(t.Context(), nil); err != nil {
		t.Errorf("not asked for: %v", err)
	}
}
