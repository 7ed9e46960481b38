package scgi

// allow.go owns who may connect. Rule: SCGI has no authentication, so a peer is
// judged by what the kernel says of it, before a byte of it is read.

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"example.com/scgi/internal/socket"
)

// checkAllow reports whether what was asked for can be known of l's peers.
func (s *Server) checkAllow(l net.Listener) error {
	asked := len(s.AllowUIDs)+len(s.AllowGIDs) > 0
	if asked && l.Addr().Network() == "unix" && !socket.KnowsPeers {
		return fmt.Errorf("scgi: AllowUIDs and AllowGIDs on this system: %w", errors.ErrUnsupported)
	}
	return nil
}

func (s *Server) isAllowed(c *conn) bool {
	switch {
	case len(s.AllowFrom)+len(s.AllowUIDs)+len(s.AllowGIDs) == 0:
		return true
	case c.RemoteAddr().Network() == "unix":
		return s.isAllowedUser(c)
	case len(s.AllowFrom) == 0:
		return true
	}
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(s.AllowFrom, func(p netip.Prefix) bool { return p.Contains(ip) })
}

func (s *Server) isAllowedUser(c *conn) bool {
	if len(s.AllowUIDs)+len(s.AllowGIDs) == 0 {
		return true
	}
	uid, gid, err := c.PeerUser()
	return err == nil && (slices.Contains(s.AllowUIDs, uid) || slices.Contains(s.AllowGIDs, gid))
}

// turnAway closes a connection of someone who may not connect. The log has a
// line for the first, and for each time their number has doubled.
func (s *Server) turnAway(c *conn) {
	n := s.count.turnedAway.Add(1)
	if n&(n-1) == 0 {
		s.logger().Warn("scgi: peer is not allowed", "peer", c.RemoteAddr(), "so_far", n)
	}
	c.close()
}
