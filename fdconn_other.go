//go:build !linux || 386 || s390x

package scgi

// fdconn_other.go stands in where descriptors are not kept out of the poller:
// connections are package net's, and what would be tried is left to them.

import (
	"net"
	"syscall"
)

type fdConn struct{ net.Conn }

func (c *fdConn) tryRead([]byte) (int, error)                { return 0, syscall.EAGAIN }
func (c *fdConn) tryWrite(_, _ []byte) (int, error)          { return 0, syscall.EAGAIN }
func (c *fdConn) readReady(func([]byte)) error               { return syscall.EINVAL }
func (c *fdConn) sendfile(syscall.RawConn, int) (int, error) { return 0, syscall.EINVAL }

type acceptRaw struct{ wait syscall.RawConn }

func newAcceptRaw(net.Listener) *acceptRaw { return nil }

func (*acceptRaw) tryAccept(*conn) error { return syscall.EAGAIN }
func (*acceptRaw) accept(*conn) error    { return syscall.EAGAIN }
