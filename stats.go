package scgi

// stats.go owns the server's numbers. Rule: counting costs an atomic addition,
// and never a lock of its own.

import "sync/atomic"

// Stats is a server's numbers at one moment. All but Open, Busy and Waiting
// only grow.
type Stats struct {
	Accepted int64 // connections
	Open     int64 // connections that are open now
	Empty    int64 // connections that ended, or timed out, without a byte
	Refused  int64 // requests answered by the server itself: malformed, over a limit, too slow
	Panics   int64 // handlers that panicked or called runtime.Goexit
	Busy     int64 // workers that run a handler now
	Waiting  int64 // requests that wait for a worker now
}

type counters struct {
	accepted, empty, refused, panics atomic.Int64
}

// Stats returns the server's numbers. It is safe for concurrent use.
func (s *Server) Stats() Stats {
	s.init()
	busy, waiting := s.pool.load()
	s.mu.Lock()
	open := int64(s.open)
	s.mu.Unlock()
	return Stats{
		Accepted: s.count.accepted.Load(),
		Open:     open,
		Empty:    s.count.empty.Load(),
		Refused:  s.count.refused.Load(),
		Panics:   s.count.panics.Load(),
		Busy:     int64(busy),
		Waiting:  int64(waiting),
	}
}
