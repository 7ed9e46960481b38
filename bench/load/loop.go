//go:build linux

package load

// loop.go runs the event loop: it starts requests when they are due and records how
// they end. The loop allocates only while the number of slots grows, and reads the
// clock once when a request starts and once when it ends.

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"example.com/scgi/bench/internal/address"
)

// maxSlots bounds the requests in flight in an open loop.
const maxSlots = 15000

type runner struct {
	cfg     Config
	request []byte
	judge   judge
	family  int
	peer    syscall.Sockaddr

	ep      int
	slots   []slot
	free    []int // idle slots, used last in, first out
	blocked []int // slots that wait for room in the server's backlog
	flight  int

	base      time.Time
	due       time.Duration // when the next request is due, since base
	hist      *hdrhistogram.Histogram
	good, bad int64
	last      time.Duration // when the last good reply ended
	buf       []byte
}

func newRunner(c Config) (*runner, error) {
	r := &runner{cfg: c, hist: hdrhistogram.New(100, int64(2*time.Minute), 3), buf: make([]byte, 64<<10)}
	var err error
	if r.request, r.judge, err = protocol(c); err != nil {
		return nil, err
	}
	if r.family, r.peer, err = resolve(c.Addr); err != nil {
		return nil, err
	}
	r.ep, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	return r, err
}

func resolve(addr string) (family int, sa syscall.Sockaddr, err error) {
	network, address := address.Split(addr)
	if network == "unix" {
		return syscall.AF_UNIX, &syscall.SockaddrUnix{Name: address}, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, nil, err
	}
	ip := net.ParseIP(host).To4()
	n, err := strconv.Atoi(port)
	if ip == nil || err != nil {
		return 0, nil, errors.New("load: want unix:/path or an IPv4 address and a port")
	}
	return syscall.AF_INET, &syscall.SockaddrInet4{Addr: [4]byte(ip), Port: n}, nil
}

func (r *runner) close() {
	for i := range r.slots {
		r.slots[i].close()
	}
	_ = syscall.Close(r.ep)
}

func (r *runner) run() error {
	r.base = time.Now()
	for {
		now := time.Since(r.base)
		begin := now < r.cfg.Duration || r.isLate()
		switch {
		case begin:
			r.begin(now)
		case r.flight == 0:
			return nil
		case now > r.cfg.Duration+grace:
			r.bad += int64(r.flight)
			return nil
		}
		r.connectBlocked()
		if err := r.wait(r.timeout(begin)); err != nil {
			return err
		}
	}
}

// isLate reports whether an open loop is behind. It still starts every request that
// was due within Duration.
func (r *runner) isLate() bool {
	return r.cfg.Rate > 0 && r.due < r.cfg.Duration && r.flight < maxSlots
}

// begin starts the requests that are due.
func (r *runner) begin(now time.Duration) {
	if r.cfg.Rate <= 0 {
		for range r.cfg.Flight - r.flight { // a fixed count, since all of them may fail at once
			r.start(r.slot(), now)
		}
		return
	}
	for r.due <= now && r.due < r.cfg.Duration && r.flight < maxSlots {
		r.start(r.slot(), r.due)
		r.due += time.Duration(float64(time.Second) / r.cfg.Rate)
	}
}

// timeout returns the timeout for epoll in ms. For a request that is due sooner it
// is 0, and the loop spins.
func (r *runner) timeout(begin bool) int {
	switch {
	case len(r.blocked) > 0:
		return 1
	case !begin || r.cfg.Rate <= 0:
		return 100
	}
	next := min(r.due, r.cfg.Duration) - time.Since(r.base)
	return int(max(next.Milliseconds(), 0))
}

func (r *runner) wait(timeout int) error {
	var events [256]syscall.EpollEvent
	n, err := syscall.EpollWait(r.ep, events[:], timeout)
	if err != nil && err != syscall.EINTR {
		return err
	}
	for i := range max(n, 0) {
		r.event(int(events[i].Fd), events[i].Events)
	}
	return nil
}

// slot returns the index of an idle slot.
func (r *runner) slot() int {
	if n := len(r.free); n > 0 {
		i := r.free[n-1]
		r.free = r.free[:n-1]
		return i
	}
	r.slots = append(r.slots, slot{fd: -1})
	return len(r.slots) - 1
}

// done ends the request in slot i.
func (r *runner) done(i int, v verdict) {
	s := &r.slots[i]
	now := time.Since(r.base)
	r.flight--
	s.active = false
	if v == good {
		r.good++
		_ = r.hist.RecordValue(int64(now - s.began))
		r.last = now
	} else {
		r.bad++
	}
	if v != good || !r.cfg.Keep {
		s.close()
	}
	r.free = append(r.free, i)
}

func (r *runner) result() Result {
	return Result{
		Requests:  r.good,
		Failed:    r.bad,
		PerSecond: float64(r.good) / max(r.last.Seconds(), 1e-9),
		Latency:   quantiles(r.hist),
	}
}
