package socket

import (
	"bytes"
	"io"
	"sync/atomic"
	"syscall"
)

// The peer of a unix socket can pass descriptors along with its bytes (SCM_RIGHTS). The
// last close of one can take as long as the peer likes, for example on a TCP socket with
// SO_LINGER. A read without room for descriptors closes them, and the accept loop would
// have to wait for that.

const soPassRights = 83 // SO_PASSRIGHTS, since Linux 6.16

// refuseRights makes the kernel refuse descriptors on the connections of a listener, and
// reports whether the kernel can.
func refuseRights(listener syscall.RawConn) bool {
	var err error
	controlErr := listener.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soPassRights, 0) })
	return controlErr == nil && err == nil
}

// maxRights is the size of a control message with the most descriptors that one may have
// (SCM_MAX_FD).
const maxRights = 2*syscall.SizeofCmsghdr + 253*4

// maxClosers bounds the goroutines that close descriptors. Each may hold a thread for as
// long as a peer likes.
const maxClosers = 8

var closers atomic.Int32

// readRights is read for a connection whose peer may pass descriptors. It leaves closing
// them to a goroutine. While maxClosers goroutines do that, readRights returns EAGAIN, so
// that a goroutine that may wait reads the input.
func readRights(fd int, p []byte) (int, error) {
	if closers.Load() >= maxClosers {
		return 0, syscall.EAGAIN
	}
	var rights [maxRights]byte
	for {
		n, size, _, _, err := syscall.Recvmsg(fd, p, rights[:], syscall.MSG_CMSG_CLOEXEC)
		if size > 0 {
			closers.Add(1)
			go closeRights(bytes.Clone(rights[:size]))
		}
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func closeRights(rights []byte) {
	defer closers.Add(-1)
	messages, _ := syscall.ParseSocketControlMessage(rights)
	for i := range messages {
		fds, _ := syscall.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
	}
}
