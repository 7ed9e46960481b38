//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package listen

// share_test.go tests sockets that processes share. After Release, the process that opens
// the descriptor serves the socket.

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestReleaseKeepsSocket(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "unix:" + tempSocket(t)} {
		l := mustListen(t, addr)
		at := l.Addr()
		fd, remove, err := l.Release()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: Accept after Release: %v", addr, err)
		}
		c, err := net.Dial(at.Network(), at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		shared, err := Shared(fd, true)
		if err != nil {
			t.Fatal(err)
		}
		defer shared.Close()
		if !shared.IsShared() || !shared.IsBound() || !shared.IsInherited() {
			t.Errorf("%s: shared %v, bound %v, inherited %v", addr, shared.IsShared(), shared.IsBound(), shared.IsInherited())
		}
		peer, err := shared.Accept() // queued while no listener was open
		if err != nil {
			t.Fatal(err)
		}
		peer.Close()
		shared.Close()
		if _, err := net.Dial(at.Network(), at.String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: a descriptor is left open: %v", addr, err)
		}
		remove()
		if at.Network() == "unix" && !isGone(at.String()) {
			t.Error("the file is left")
		}
	}
}

// Release's function removes the file only if it is still the one that was bound.
func TestReleaseLeavesSuccessorsFile(t *testing.T) {
	path := tempSocket(t)
	fd, remove, err := mustListen(t, "unix:"+path).Release()
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd) // no other file gets its inode number while it is open
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	successor := mustListen(t, "unix:"+path)
	remove()
	checkServes(t, successor)
}

// The file of an inherited socket belongs to the process that bound it.
func TestReleaseKeepsInheritedFile(t *testing.T) {
	path := tempSocket(t)
	l := mustListen(t, "unix:"+path)
	l.SetInherited(true)
	fd, remove, err := l.Release()
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	remove()
	if isGone(path) {
		t.Error("the file is gone")
	}
}

func TestSharedRefusesNonSocket(t *testing.T) {
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pipe[0])
	defer syscall.Close(pipe[1])
	if _, err := Shared(pipe[0], true); !errors.Is(err, errNotListening) {
		t.Errorf("a pipe: %v", err)
	}
}
