//go:build !linux

package socket

import "errors"

var systemTemporary []error

// descriptor and direct are unused here: every connection is a net.Conn.
type (
	descriptor struct{}
	direct     struct{}
)

func newDirect(Waitable) *direct { return nil }

func (*direct) tryAccept(*Conn) error { return errors.ErrUnsupported }
func (*direct) accept(*Conn) error    { return errors.ErrUnsupported }
func (*direct) holdsBack() bool       { return false }
func (*direct) undefer()              {}

// A Watch is empty on systems that can't watch a socket's state without reading. Use
// Conn.ReadAhead there.
type Watch struct{}

// Add reports false.
func (*Watch) Add(*Conn, bool, func()) (remove func(), ok bool) { return nil, false }

// Close does nothing.
func (*Watch) Close() {}

// KnowsPeers reports whether PeerUser works on this system.
const KnowsPeers = false

// PeerUser fails with errors.ErrUnsupported.
func (c *Conn) PeerUser() (uid, gid int, err error) { return 0, 0, errors.ErrUnsupported }

// Empty reports whether the kernel is known to hold no input, which is never known here.
func (c *Conn) Empty() bool { return false }

// queued is constant: the peer's progress is unknown here.
func (c *Conn) queued() int { return 0 }
