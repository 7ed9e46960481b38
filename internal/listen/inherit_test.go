//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// inherit_test.go tests inherited descriptors with real child processes.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests below run this program again, pass it sockets, and put the addresses to
// listen on into childEnv.
const childEnv = "SCGI_TEST_LISTEN"

func init() {
	addrs := os.Getenv(childEnv)
	if addrs == "" {
		return
	}
	if err := listenAsChild(strings.Fields(addrs)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// listenAsChild listens on each address in turn, and sends the address to one peer on
// each of its sockets. Then it checks that no socket can be taken twice.
func listenAsChild(addrs []string) error {
	if addrs[0] == "nothing" {
		return checkNothingPassed()
	}
	for _, addr := range addrs {
		ls, err := All(addr)
		if err != nil {
			return err
		}
		for _, l := range ls {
			if err := sendOnce(l, addr); err != nil {
				return err
			}
		}
		if err := checkTaken(addr); err != nil {
			return err
		}
		if err := checkHidden(addr); err != nil {
			return err
		}
	}
	return nil
}

func sendOnce(l *Listener, line string) error {
	defer l.Close()
	if !l.inherited {
		return errors.New("not marked as inherited")
	}
	l.SetDeadline(time.Now().Add(10 * time.Second))
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = fmt.Fprintln(c, line)
	return err
}

// checkTaken fails unless addr can't be listened on again.
func checkTaken(addr string) error {
	want := errSocketTaken
	if strings.HasPrefix(addr, "fd:") {
		want = errNotListening
	}
	if _, err := One(addr); !errors.Is(err, want) {
		return fmt.Errorf("%s again: got %w, want %w", addr, err, want)
	}
	if addr != "fd:0" {
		return nil
	}
	// releaseFD put the null device there, so that no other file gets the number.
	stdin, err := os.Stdin.Stat()
	if err != nil {
		return err
	}
	null, err := os.Stat(os.DevNull)
	if err == nil && !os.SameFile(stdin, null) {
		err = errors.New("the standard input is not the null device")
	}
	return err
}

// checkHidden fails if a process that is started after the first use of systemd's
// sockets inherits any of them, or the variables that announce them.
func checkHidden(addr string) error {
	if !strings.HasPrefix(addr, "systemd:") {
		return nil
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if value, ok := os.LookupEnv(name); ok {
			return fmt.Errorf("%s is still %q", name, value)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"=nothing")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

func checkNothingPassed() error {
	for fd := range 6 {
		l, err := inheritFD(fd)
		if err == nil {
			return fmt.Errorf("file descriptor %d is a socket on %v", fd, l.Addr())
		}
	}
	return nil
}

// child returns a command that runs name, which is this program or starts it. The
// command is killed after 30 seconds, or when the test ends.
func child(t *testing.T, addrs, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+addrs, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// receive dials a child's socket and returns the line that the child sends.
func receive(network, addr string) string {
	c, err := net.Dial(network, addr)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	line, err := io.ReadAll(c)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(line))
}

// fileOf returns a copy of a net socket's descriptor.
func fileOf(t *testing.T, socket any) *os.File {
	t.Helper()
	f, err := socket.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestListenFD(t *testing.T) {
	tcp, err := One("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	path := tempSocket(t)
	unix := mustListen(t, "unix:"+path)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := child(t, "fd:0 fd:3", exe)
	cmd.Stdin = fileOf(t, tcp)
	cmd.ExtraFiles = []*os.File{fileOf(t, unix.Unwrap())}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := receive("tcp", tcp.Addr().String()); got != "fd:0" {
		t.Errorf("TCP: got %q", got)
	}
	if got := receive("unix", path); got != "fd:3" {
		t.Errorf("unix: got %q", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, stderr.Bytes())
	}
	if !isFile(path, unix.file) {
		t.Error("the child that inherited the socket unlinked it")
	}
}

// A refused descriptor stays open, since it may be in use.
func TestListenFDRefusals(t *testing.T) {
	for name, f := range notListening(t) {
		if _, err := One(fmt.Sprintf("fd:%d", f.Fd())); !errors.Is(err, errNotListening) {
			t.Errorf("%s: got %v, want %v", name, err, errNotListening)
		}
		if _, err := f.Stat(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := One("fd:2147483647"); !errors.Is(err, syscall.EBADF) {
		t.Errorf("not open: got %v, want %v", err, syscall.EBADF)
	}
	for _, addr := range []string{"fd:", "fd:-1", "fd:+0", "fd:0x1", "fd:stdin", "fd:2147483648"} {
		if _, err := One(addr); !errors.Is(err, errAddrSyntax) {
			t.Errorf("%q: got %v, want %v", addr, err, errAddrSyntax)
		}
	}
}

// notListening opens files of all kinds that are not listening stream sockets.
func notListening(t *testing.T) map[string]*os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	path := tempSocket(t)
	datagram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path + "2", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	l := mustListen(t, "unix:"+path)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	l.Close()
	files := map[string]*os.File{
		"pipe":       r,
		"udp":        fileOf(t, udp),
		"datagram":   fileOf(t, datagram),
		"connection": fileOf(t, conn),
	}
	if packet, err := net.Listen("unixpacket", path+"3"); err == nil { // not on every system
		defer packet.Close()
		files["seqpacket"] = fileOf(t, packet)
	}
	return files
}
