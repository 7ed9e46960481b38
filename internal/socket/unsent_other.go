//go:build !linux

package socket

import "net"

// Unsent returns false: this system doesn't report how much of what was written to c its
// peer has taken.
func Unsent(net.Conn) (n int, ok bool) { return 0, false }
