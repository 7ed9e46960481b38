package scgi

// stats.go owns the server's numbers. Rule: counting costs an atomic addition
// or is done under a lock that is held anyway.

import "sync/atomic"

// Stats is a server's numbers at one moment. Those that count events only
// grow.
type Stats struct {
	Accepted   int64 // connections
	Open       int64 // connections that are open now
	Reading    int64 // of them, those that have not sent their header
	MostOpen   int64 // the most that were open at once
	Empty      int64 // connections that ended, or timed out, without a byte
	TurnedAway int64 // connections of peers that may not connect

	Workers     int64 // worker goroutines
	Busy        int64 // workers that run a handler now
	MostBusy    int64 // the most that ran one at once
	Waiting     int64 // requests that wait for a worker now
	MostWaiting int64 // the most that waited at once

	Served    int64         // requests whose handler returned or panicked, abandoned ones too in the end
	Statuses  [6]int64      // of them, by class: Statuses[2] is 2xx; Statuses[0] is without one: raw, hijacked
	Refused   map[int]int64 // requests that the server answered by itself, by status
	Panics    int64         // handlers that panicked or called runtime.Goexit
	Slow      int64         // handlers that OnSlow was told of
	Abandoned int64         // handlers that were given up and still run
	BytesIn   int64         // of bodies, read by handlers
	BytesOut  int64         // of bodies, written by handlers
}

type counters struct {
	accepted, reading, empty, turnedAway atomic.Int64
	panics, slow, abandoned              atomic.Int64
	bytesIn, bytesOut                    atomic.Int64
	statuses                             [6]atomic.Int64
	refused                              [len(refusedStatuses)]atomic.Int64
}

// refusedStatuses are all that the server answers with by itself.
var refusedStatuses = [...]int{400, 408, 413, 431, 503, 504}

func (c *counters) refuse(status int) {
	for i, s := range refusedStatuses {
		if s == status {
			c.refused[i].Add(1)
		}
	}
}

// Stats returns the server's numbers. It is safe for concurrent use. To publish
// them:
//
//	expvar.Publish("scgi", expvar.Func(func() any { return srv.Stats() }))
func (s *Server) Stats() Stats {
	s.init()
	load := s.pool.load()
	st := Stats{
		Accepted: s.count.accepted.Load(), Reading: s.count.reading.Load(), Empty: s.count.empty.Load(), TurnedAway: s.count.turnedAway.Load(),
		Workers: int64(load.workers), Busy: int64(load.busy), MostBusy: int64(load.mostBusy), Waiting: int64(load.waiting), MostWaiting: int64(load.mostWaiting),
		Panics: s.count.panics.Load(), Slow: s.count.slow.Load(), Abandoned: s.count.abandoned.Load(),
		BytesIn: s.count.bytesIn.Load(), BytesOut: s.count.bytesOut.Load(),
		Refused: make(map[int]int64),
	}
	for i := range s.count.statuses {
		st.Statuses[i] = s.count.statuses[i].Load()
		st.Served += st.Statuses[i]
	}
	for i, status := range refusedStatuses {
		if n := s.count.refused[i].Load(); n > 0 {
			st.Refused[status] = n
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Open, st.MostOpen = int64(s.open), int64(s.mostOpen)
	return st
}
