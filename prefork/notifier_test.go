//go:build unix

package prefork

// notifier_test.go tests what the program tells systemd. The test plays systemd, with a
// socket of its own.

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemd is the socket that NOTIFY_SOCKET names.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	name := filepath.Join(tempDir(t), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = os.Chmod(name, 0o777)
	return &systemd{t, c}
}

// env returns the variables that systemd sets for a unit.
func (s *systemd) env() []string {
	return []string{"NOTIFY_SOCKET=" + s.conn.LocalAddr().String(), "WATCHDOG_USEC=1000000"}
}

// next reads a message, skipping those for the watchdog.
func (s *systemd) next() string {
	s.t.Helper()
	for end := time.Now().Add(patience); ; {
		if msg := s.read(time.Until(end)); msg != "WATCHDOG=1" {
			return msg
		}
	}
}

func (s *systemd) read(wait time.Duration) string {
	s.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 4096)
	n, err := s.conn.Read(buf)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(buf[:n])
}

func (s *systemd) expect(want string) {
	s.t.Helper()
	if got := s.next(); got != want {
		s.t.Errorf("systemd was told %q, want %q", got, want)
	}
}

// awaitFood reads until a message for the watchdog arrives.
func (s *systemd) awaitFood() {
	s.t.Helper()
	for s.read(patience) != "WATCHDOG=1" {
	}
}

func TestNotifiesSystemd(t *testing.T) {
	t.Parallel()
	for _, r := range []role{{}, {MaxProcesses: 2}} {
		s := newSystemd(t)
		a := run(t, r, s.env()...)
		s.expect("READY=1")
		s.awaitFood()
		if r.MaxProcesses > 0 {
			before := monotonicUsec()
			a.signal(syscall.SIGHUP)
			state, usec, _ := strings.Cut(s.next(), "\nMONOTONIC_USEC=")
			at, err := strconv.ParseInt(usec, 10, 64)
			if state != "RELOADING=1" || err != nil || at < before || at > monotonicUsec() {
				t.Errorf("systemd was told %q with time %q, %v", state, usec, err)
			}
			s.expect("READY=1")
		}
		a.signal(syscall.SIGTERM)
		s.expect("STOPPING=1")
		if err := a.wait(); err != nil {
			t.Error(err)
		}
	}
}

// systemd also learns of the end of a reload that fails.
func TestNotifiesSystemdOfFailedReload(t *testing.T) {
	s := newSystemd(t)
	fail := filepath.Join(tempDir(t), "fail")
	a := run(t, role{MaxProcesses: 1, Fail: fail}, s.env()...)
	s.expect("READY=1")
	makeFile(t, fail)
	a.signal(syscall.SIGHUP)
	if got := s.next(); !strings.HasPrefix(got, "RELOADING=1\n") {
		t.Errorf("systemd was told %q", got)
	}
	s.expect("READY=1")
	a.end()
}

// A program inside a chroot without systemd's socket still notifies systemd.
func TestNotifiesSystemdFromChroot(t *testing.T) {
	t.Parallel()
	needRoot(t)
	nobody(t)
	s := newSystemd(t)
	a := run(t, role{User: "nobody", Chroot: tempDir(t)}, s.env()...)
	s.expect("READY=1")
	s.awaitFood()
	a.end()
	s.expect("STOPPING=1")
}

// The watchdog gets no more messages when no child reports.
func TestWatchdogStopsWithoutChildren(t *testing.T) {
	t.Parallel()
	s := newSystemd(t)
	a := run(t, role{MaxProcesses: 1, HangTimeout: -1}, s.env()...)
	s.awaitFood()
	pid := a.pid("/")
	signalTo(t, pid, syscall.SIGSTOP)
	awaitState(t, pid, 'T')
	last := time.Now()
	for fed := true; fed; {
		_ = s.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, err := s.conn.Read(make([]byte, 64))
		if fed = err == nil; time.Since(last) > patience {
			t.Fatal("the watchdog is still notified")
		}
	}
	signalTo(t, pid, syscall.SIGCONT)
	s.awaitFood()
	a.end()
}

// A supervisor that is gone, or does not read, affects only the log.
func TestServesWithoutSystemd(t *testing.T) {
	t.Parallel()
	missing := "NOTIFY_SOCKET=" + filepath.Join(tempDir(t), "missing")
	slow := newSystemd(t)
	fillSocket(t, slow)
	for _, env := range []string{missing, slow.env()[0]} {
		for _, r := range []role{{}, {MaxProcesses: 1}} {
			a := run(t, r, env)
			pid := a.pid("/")
			if r.MaxProcesses > 0 {
				a.signal(syscall.SIGHUP)
				a.awaitLog(1, "child exited", map[string]any{"pid": pid})
				a.pid("/")
			}
			if env == missing {
				a.awaitLog(1, "can't notify systemd", nil)
			}
			a.end()
		}
	}
}

// fillSocket writes until the socket is full.
func fillSocket(t *testing.T, s *systemd) {
	t.Helper()
	c, err := net.Dial("unixgram", s.conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for err == nil {
		_ = c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		_, err = c.Write([]byte("FULL=1"))
	}
}

func TestWatchdogInterval(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, test := range []struct {
		usec, pid string
		want      time.Duration
		logged    bool
	}{
		{"", "", 0, false},
		{"", self, 0, false},
		{"1500", "", 1500 * time.Microsecond, false},
		{"1500", self, 1500 * time.Microsecond, false},
		{"1500", "1", 0, false},
		{"0", self, 0, true},
		{"-1", self, 0, true},
		{"1s", self, 0, true},
		{"9223372036854775807", self, 0, true},
	} {
		t.Setenv("WATCHDOG_USEC", test.usec)
		t.Setenv("WATCHDOG_PID", test.pid)
		var log bytes.Buffer
		got := watchdogInterval(slog.New(slog.NewTextHandler(&log, nil)))
		if got != test.want || (log.Len() > 0) != test.logged {
			t.Errorf("%+v: %v, log %q", test, got, &log)
		}
	}
}
