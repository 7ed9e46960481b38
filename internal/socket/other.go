//go:build !linux

package socket

import "errors"

var systemTemporary []error

// descriptor and direct are empty: every connection is a net.Conn.
type (
	descriptor struct{}
	direct     struct{}
)

func newDirect(Waitable) *direct { return nil }

func (*direct) tryAccept(*Conn) error { return errors.ErrUnsupported }
func (*direct) accept(*Conn) error    { return errors.ErrUnsupported }
func (*direct) holdsBack() bool       { return false }
func (*direct) undefer()              {}

// A Watch is empty where a socket's state can't be watched without reading; use
// Conn.ReadAhead.
type Watch struct{}

// Add reports false.
func (*Watch) Add(*Conn, bool, func()) (remove func(), ok bool) { return nil, false }

// Close does nothing.
func (*Watch) Close() {}

// KnowsPeers reports that PeerUser works on this system.
const KnowsPeers = false

// PeerUser fails with errors.ErrUnsupported.
func (c *Conn) PeerUser() (uid, gid int, err error) { return 0, 0, errors.ErrUnsupported }

// Empty reports that the kernel is known to hold no input: it never is.
func (c *Conn) Empty() bool { return false }

// queued is always the same: the peer's progress is not known.
func (c *Conn) queued() int { return 0 }
