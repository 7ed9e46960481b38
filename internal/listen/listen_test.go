package listen

// listen_test.go tests the grammar of addresses and TCP, and has the helpers that the
// package's tests share. A refused address must leave nothing behind.

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestListenTCP(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		l, err := One(addr)
		if err != nil && strings.HasPrefix(addr, "[::") && !hasIPv6() {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ip := l.Addr().(*net.TCPAddr).IP
		wild := addr == "0.0.0.0:0" || addr == "[::]:0"
		if ip.IsUnspecified() != wild || !wild && !ip.IsLoopback() {
			t.Errorf("%q: listens on %v", addr, ip)
		}
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		l.Close()
	}
	return err == nil
}

// Asked for "0.0.0.0", package net listens on IPv6 too.
func TestListenIPv4Only(t *testing.T) {
	if !hasIPv6() {
		t.Skip("no IPv6 here")
	}
	l, err := One("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if c, err := net.Dial("tcp", "127.0.0.1:"+port); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if ip := l.Addr().(*net.TCPAddr).IP; ip.To4() == nil {
		t.Errorf("listens on %v", ip)
	}
}

func TestListenRefusals(t *testing.T) {
	tests := []struct {
		addr string
		want error
	}{
		{":4000", errAddrWildcard},
		{":0", errAddrWildcard},
		{"[]:4000", errAddrWildcard},
		{"[::0]:4000", errAddrWildcard},
		{"[::ffff:0.0.0.0]:4000", errAddrWildcard},
		{"4000", errAddrSyntax},
		{"localhost", errAddrSyntax},
		{"127.0.0.1:", errAddrSyntax},
		{"::1:4000", errAddrSyntax},
		{"tcp:127.0.0.1:4000", errAddrSyntax},
		{"/run/app.sock", errAddrSyntax},
		{"systemd", errAddrSyntax},
		{"unix:", errAddrSyntax},
		{"unix:?mode=0660", errAddrSyntax},
		{"unix:a\x00b", errAddrSyntax},
		{"unix:folder/", errAddrSyntax},
		{"unix:@name", errAddrAbstract},
		{"unix:@name?mode=0660", errAddrAbstract},
		{"unix:x?", errAddrOption},
		{"unix:x?mode", errAddrOption},
		{"unix:x?mode=", errAddrOption},
		{"unix:x?mode=0668", errAddrOption},
		{"unix:x?mode=01777", errAddrOption},
		{"unix:x?mode=-1", errAddrOption},
		{"unix:x?mode=rw", errAddrOption},
		{"unix:x?mode=0660&", errAddrOption},
		{"unix:x?mode=0660&mode=0660", errAddrOption},
		{"unix:x?Mode=0660", errAddrOption},
		{"unix:x?backlog=5", errAddrOption},
		{"unix:x?owner=", errAddrOption},
		{"unix:x?owner=4294967295", errAddrOption},
		{"unix:x?owner=4294967296", errAddrOption},
		{"unix:x?owner=no such user", errAddrOption},
		{"unix:x?group=-1", errAddrOption},
		{"unix:x?group=no such group", errAddrOption},
		{"unix:" + strings.Repeat("x", 200), errAddrLong},
	}
	t.Chdir(t.TempDir())
	for _, test := range tests {
		l, err := One(test.addr)
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, test.want) {
			t.Errorf("%q: got %v, want %v", test.addr, err, test.want)
		}
	}
}

func TestListenUnknownPort(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:no-such-service"} {
		if l, err := One(addr); err == nil {
			l.Close()
			t.Errorf("%q: accepted", addr)
		}
	}
}

// mustListen listens on addr for as long as the test runs.
func mustListen(t *testing.T, addr string) *Listener {
	t.Helper()
	l, err := One(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*Listener)
}

// checkServes fails the test unless a peer that dials l's address reaches l.
func checkServes(t *testing.T, l net.Listener) {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l.(socket).SetDeadline(time.Now().Add(10 * time.Second))
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	peer.Close()
}

// A relative path still means the same file after the program has changed its folder.
func TestListenUnixRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, err := os.Getwd()
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "app.sock")
	l := mustListen(t, "unix:app.sock")
	if _, ok := l.Unwrap().(*net.UnixListener); !ok || l.IsInherited() || !l.IsBound() {
		t.Errorf("got a %T, inherited: %v, bound: %v", l.Unwrap(), l.IsInherited(), l.IsBound())
	}
	if got := l.Addr(); got.String() != path || got.Network() != "unix" {
		t.Errorf("the address is %v, want %s", got, path)
	}
	t.Chdir(t.TempDir())
	checkServes(t, l)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Close left the file: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}
