package scgi

// pool.go owns the workers: goroutines that run jobs, at most max at a time.
// Rule: a job is never dropped and never waits while a worker is free; a worker
// whose job ends badly is gone, and its place with it refilled. It knows
// nothing of SCGI.

import (
	"slices"
	"sync"
	"time"
)

// pool runs jobs on workers that are started when none is idle, up to max.
// Past that, jobs wait in the order they came. The worker that was idle last is
// the first to be used again, since its stack is warm; those that were not
// needed for idleTime end. What a pool is for is to bound and to push back:
// a dispatch costs about 0.4 µs, a new goroutine about as much.
type pool[J any] struct {
	// run does a job on w. It reports whether w is fit for another; a panic
	// that leaves run, or runtime.Goexit, also ends the worker.
	run      func(w *worker[J], job J) (fit bool)
	max      int // workers; negative: no limit
	idleTime time.Duration

	mu      sync.Mutex
	workers int
	idle    []*worker[J] // the last one was used last
	waiting queue[J]
	closed  bool

	// spare is the least number of idle workers since the timer was set: as
	// many as that were not needed in that time.
	spare int
	timer *time.Timer // nil: not set
}

type worker[J any] struct {
	pool     *pool[J]
	jobs     chan J
	detached bool // does not count against max any more
}

// submit runs job on an idle worker, on a new one, or when one comes free.
func (p *pool[J]) submit(job J) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.spare = min(p.spare, n-1)
		p.mu.Unlock()
		w.jobs <- job
		return
	}
	if p.workers == p.max {
		p.waiting.push(job)
		p.mu.Unlock()
		return
	}
	p.workers++
	p.mu.Unlock()
	p.start(job)
}

func (p *pool[J]) start(job J) {
	w := &worker[J]{pool: p, jobs: make(chan J, 1)}
	go w.loop(job)
}

// loop is a worker's life.
func (w *worker[J]) loop(job J) {
	defer w.detach() // deferred, so that neither panic nor Goexit shrinks the pool
	for ok := true; ok; job, ok = w.next() {
		if !w.pool.run(w, job) {
			return
		}
	}
}

// next waits for a job; without one the worker has to end.
func (w *worker[J]) next() (job J, ok bool) {
	p := w.pool
	p.mu.Lock()
	if w.detached || p.closed && p.waiting.len() == 0 {
		p.mu.Unlock()
		return job, false
	}
	if p.waiting.len() > 0 {
		job = p.waiting.pop()
		p.mu.Unlock()
		return job, true
	}
	p.idle = append(p.idle, w)
	if p.timer == nil {
		p.spare = len(p.idle)
		p.timer = time.AfterFunc(p.idleTime, p.retire)
	}
	p.mu.Unlock()
	job, ok = <-w.jobs
	return job, ok
}

// detach gives w's place to another, while its job may go on. It is safe to
// call at any time and more than once.
func (w *worker[J]) detach() {
	p := w.pool
	p.mu.Lock()
	if w.detached {
		p.mu.Unlock()
		return
	}
	w.detached = true
	if p.waiting.len() == 0 {
		p.workers--
		p.mu.Unlock()
		return
	}
	job := p.waiting.pop()
	p.mu.Unlock()
	p.start(job)
}

// retire ends the workers that were not needed since the timer was set.
func (p *pool[J]) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = nil
	p.dismiss(min(p.spare, len(p.idle)))
	if len(p.idle) > 0 && !p.closed {
		p.spare = len(p.idle)
		p.timer = time.AfterFunc(p.idleTime, p.retire)
	}
}

// dismiss ends the n workers that have been idle longest.
func (p *pool[J]) dismiss(n int) {
	for _, w := range p.idle[:n] {
		close(w.jobs)
	}
	p.idle = slices.Delete(p.idle, 0, n)
}

// load returns the number of workers that run a job and of jobs that wait.
func (p *pool[J]) load() (busy, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.workers - len(p.idle), p.waiting.len()
}

// close ends idle workers now and the others when nothing waits any more.
func (p *pool[J]) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.dismiss(len(p.idle))
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// queue is first in, first out, without shifting what is in it.
type queue[J any] struct {
	in, out []J // out is in pop order from head on
	head    int
}

func (q *queue[J]) len() int { return len(q.in) + len(q.out) - q.head }

func (q *queue[J]) push(job J) { q.in = append(q.in, job) }

func (q *queue[J]) pop() J {
	if q.head == len(q.out) {
		q.in, q.out, q.head = q.out[:0], q.in, 0
	}
	var none J
	job := q.out[q.head]
	q.out[q.head] = none // the queue keeps nothing alive
	q.head++
	return job
}
