//go:build !linux

package socket

import "net"

// Unsent returns false: how much of what was written to c its peer has taken is
// not known here.
func Unsent(net.Conn) (n int, ok bool) { return 0, false }
