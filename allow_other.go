//go:build !linux

package scgi

import (
	"errors"
	"net"
)

const knowsPeers = false

func peerUser(net.Conn) (uid, gid int, err error) { return 0, 0, errors.ErrUnsupported }
