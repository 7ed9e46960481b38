package scgi

// allow.go owns the allow lists. Rule: SCGI has no authentication, so a peer that
// no list matches, by what the kernel says about it, is closed before a byte is
// read.

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"example.com/scgi/internal/socket"
)

// checkAllow fails if the lists name users, and the system does not tell who l's
// peers are.
func (s *Server) checkAllow(l net.Listener) error {
	if len(s.AllowUIDs)+len(s.AllowGIDs) > 0 && l.Addr().Network() == "unix" && !socket.KnowsPeers {
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

// turnAway closes a connection whose peer may not connect. It logs the first, and
// then each time their number has doubled.
func (s *Server) turnAway(c *conn) {
	n := s.count.turnedAway.Add(1)
	if n&(n-1) == 0 {
		s.logger().Warn("scgi: peer is not allowed", "peer", c.RemoteAddr(), "so_far", n)
	}
	go c.close() // which can take as long as the peer likes: see package socket
}
