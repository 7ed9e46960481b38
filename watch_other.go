//go:build !linux

package scgi

import "net"

// peerWatch is empty where a socket's state can't be watched without reading;
// the connection then reads ahead (readahead.go).
type peerWatch struct{}

func (*peerWatch) add(net.Conn, bool, func()) (func(), bool) { return nil, false }
func (*peerWatch) close()                                    {}

// noInput reports that the kernel is known to hold no input for c.
func noInput(net.Conn) bool { return false }
