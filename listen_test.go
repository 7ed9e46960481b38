package scgi

// listen_test.go owns the tests of Listen's own part: the default address, and
// an error that comes without a listener.

import (
	"errors"
	"net"
	"testing"
)

// If the port is in use on this machine, the error names the default address.
func TestListenDefault(t *testing.T) {
	l, err := Listen("")
	var op *net.OpError
	switch {
	case err == nil:
		defer l.Close()
		if got := l.Addr().String(); got != DefaultAddr {
			t.Errorf("listens on %q, want %q", got, DefaultAddr)
		}
	case !errors.As(err, &op) || op.Addr.String() != DefaultAddr:
		t.Errorf("got %v, want to listen on %q", err, DefaultAddr)
	}
}

func TestListenErrorHasNoListener(t *testing.T) {
	if l, err := Listen(":4000"); l != nil || err == nil {
		t.Errorf("got %v, %v", l, err)
	}
}
