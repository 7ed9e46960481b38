//go:build linux

package main

// limits.go measures servers outside the normal load: with silent connections,
// with bodies of a gigabyte, and from a cold start. Each is compared with the bare
// or normal case of the same round.

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"example.com/scgi/bench/internal/address"
	"example.com/scgi/bench/load"
)

// silence is the result for a server with and without silent connections.
type silence struct {
	name          string
	connections   int
	each          float64 // resident memory per connection, in bytes
	without, with float64 // requests per second
}

func (l *lab) silence() (all []silence, err error) {
	for _, c := range patient {
		s, err := l.besideSilence(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func (l *lab) besideSilence(c contestant) (silence, error) {
	s, err := l.start(c, "unix")
	if err != nil {
		return silence{}, err
	}
	defer s.end()
	cfg := load.Config{Addr: s.addr, Protocol: c.protocol, Keep: c.keep, Flight: flight, Duration: l.scale.duration}
	r := silence{name: c.name, connections: l.scale.silent}
	without, err := l.sample(s, cfg)
	if err != nil {
		return r, err
	}
	before := s.memory("VmRSS")
	conns, err := l.connect(s, r.connections)
	defer closeAll(conns)
	if err != nil {
		return r, err
	}
	r.each = float64(s.memory("VmRSS")-before) / float64(r.connections)
	with, err := l.sample(s, cfg)
	r.without, r.with = without.rps, with.rps
	return r, err
}

// connect opens n connections and waits until s has accepted them.
func (l *lab) connect(s *server, n int) (conns []net.Conn, err error) {
	for end := time.Now().Add(20 * time.Second); len(conns) < n || s.descriptors() < n; {
		if time.Now().After(end) || l.ctx.Err() != nil {
			return conns, fmt.Errorf("opened only %d of %d silent connections: %w", len(conns), n, err)
		}
		var c net.Conn
		if len(conns) < n {
			if c, err = address.Dial(s.addr); err == nil {
				conns = append(conns, c)
				continue
			}
		}
		time.Sleep(time.Millisecond) // the backlog is full or not yet accepted
	}
	return conns, nil
}

func (s *server) descriptors() int {
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	return len(fds)
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		_ = c.Close()
	}
}

// passage is the result for a large body through a server, one sample per round.
type passage struct {
	name, network string
	up            bool
	contestant    contestant
	seconds, cpu  []float64
	peak          int64
}

// transfers measures each direction over each network. The first of each group is
// a bare io.Copy.
func (l *lab) transfers() (all []passage, err error) {
	file := filepath.Join(l.dir, "large")
	if err := makeFile(file, l.scale.transfer); err != nil {
		return nil, err
	}
	sinkSize := fmt.Sprint(int64(load.HeadLen(l.scale.transfer)) + l.scale.transfer)
	for _, network := range []string{"unix", "tcp"} {
		all = append(all,
			passage{name: "bare io.Copy", network: network, up: true, contestant: with(rival("", "sink", "", false, ""), "-size", sinkSize)},
			passage{name: native.name, network: network, up: true, contestant: native},
			passage{name: asHTTP.name, network: network, up: true, contestant: asHTTP},
			passage{name: "bare io.Copy", network: network, contestant: with(rival("", "file", "", false, ""), "-file", file)},
			passage{name: native.name, network: network, contestant: with(native, "-file", file)},
			passage{name: asHTTP.name, network: network, contestant: with(asHTTP, "-file", file)})
	}
	for range l.scale.few {
		for i := range all {
			if err := l.transfer(&all[i]); err != nil {
				return nil, fmt.Errorf("%s over %s: %w", all[i].name, all[i].network, err)
			}
		}
	}
	return all, nil
}

// makeFile makes a file of zeros and reads it, so that it is in the page cache.
func makeFile(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	_, err = f.WriteTo(struct{ nothing }{})
	return err
}

// nothing is a Writer without io.Discard's ReadFrom.
type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }

func with(c contestant, args ...string) contestant {
	c.args = append(args, c.args...) // the last flag takes the address
	return c
}

func (l *lab) transfer(p *passage) error {
	s, err := l.start(p.contestant, p.network)
	if err != nil {
		return err
	}
	defer s.end()
	mode := "-download"
	if p.up {
		mode = "-upload"
	}
	before := s.cpu()
	var took time.Duration
	if err := l.runLoad(&took, "-addr", s.addr, mode, fmt.Sprint(l.scale.transfer)); err != nil {
		return err
	}
	p.seconds = append(p.seconds, took.Seconds())
	p.cpu = append(p.cpu, (s.cpu() - before).Seconds())
	p.peak = max(p.peak, s.memory("VmHWM"))
	return nil
}

// coldStart is the time from a program's start to its first reply.
type coldStart struct {
	name   string
	millis float64
}

func (l *lab) coldStarts() ([]coldStart, error) {
	millis := make([][]float64, len(started))
	for range l.scale.starts {
		for i, c := range started {
			took, err := l.coldStart(c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			millis[i] = append(millis[i], took.Seconds()*1e3)
		}
	}
	var all []coldStart
	for i, c := range started {
		all = append(all, coldStart{c.name, median(millis[i])})
	}
	return all, nil
}

// coldStart starts c without taskset, whose own start would be measured too.
func (l *lab) coldStart(c contestant) (time.Duration, error) {
	addr := l.addr("unix")
	program, args := l.command(c, addr)
	began := time.Now()
	p, err := os.StartProcess(program, append([]string{program}, args...), &os.ProcAttr{})
	if err != nil {
		return 0, err
	}
	err = l.awaitReply(load.Config{Addr: addr, Protocol: c.protocol, Keep: c.keep}, 50*time.Microsecond)
	took := time.Since(began)
	_ = p.Signal(syscall.SIGKILL)
	_, _ = p.Wait()
	return took, err
}
