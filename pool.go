package scgi

// pool.go runs jobs on workers, which are goroutines, at most max at a time. It never
// drops a job and lets none wait while a worker is idle. A worker whose job panics
// ends, and another takes its place. The file knows nothing of SCGI.

import (
	"slices"
	"sync"
	"time"
)

// pool starts a worker for a job when none is idle, up to max. Past that, jobs wait in
// the order they came: at most maxWaiting jobs, each for at most waitTime. The pool
// gives the other jobs back through refuse. It reuses the worker that became idle
// last, since its stack is warm, and ends workers that were idle for idleTime.
//
// The pool is there to bound work and to push back, not for speed: a dispatch costs
// about 0.4 µs, a new goroutine about as much.
type pool[J any] struct {
	// run does a job on w and reports whether w may run another. A panic in run,
	// or runtime.Goexit, ends the worker.
	run func(w *worker[J], job J) (fit bool)
	// refuse gets a job that will not run, on a goroutine of its own.
	refuse func(job J)

	max        int // workers; negative: no limit
	maxWaiting int // jobs; zero or negative: no limit
	waitTime   time.Duration
	idleTime   time.Duration

	mu       sync.Mutex
	workers  int
	idle     []*worker[J] // the last one was used last
	waiting  queue[waiter[J]]
	waitEnd  *time.Timer // of the job that waits longest; nil: not set
	closed   bool
	mostBusy int // the most workers that ran a job at once
	mostWait int // the most jobs that waited at once

	// spare is the least number of idle workers since the timer was set: so many
	// were not needed in that time.
	spare int
	timer *time.Timer // nil: not set
}

type worker[J any] struct {
	pool     *pool[J]
	jobs     chan J
	waited   time.Duration // by its job
	detached bool          // does not count against max any more
}

// waiter is a job that waits for a worker.
type waiter[J any] struct {
	job   J
	since time.Time
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
		p.enqueue(job)
		p.mu.Unlock()
		return
	}
	p.workers++
	p.mu.Unlock()
	p.start(waiter[J]{job: job})
}

// enqueue lets job wait, or gives it back. The caller holds the lock.
func (p *pool[J]) enqueue(job J) {
	if p.maxWaiting > 0 && p.waiting.len() >= p.maxWaiting {
		go p.refuse(job)
		return
	}
	p.waiting.push(waiter[J]{job, time.Now()})
	p.mostWait = max(p.mostWait, p.waiting.len())
	if p.waitTime > 0 && p.waitEnd == nil {
		p.waitEnd = time.AfterFunc(p.waitTime, p.expire)
	}
}

// expire gives back the jobs that have waited too long.
func (p *pool[J]) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waitEnd = nil
	for p.waiting.len() > 0 {
		left := p.waitTime - time.Since(p.waiting.first().since)
		if left > 0 {
			p.waitEnd = time.AfterFunc(left, p.expire)
			return
		}
		go p.refuse(p.waiting.pop().job)
	}
}

func (p *pool[J]) start(first waiter[J]) {
	w := &worker[J]{pool: p, jobs: make(chan J, 1)}
	go w.loop(w.take(first))
}

// take records how long a job has waited.
func (w *worker[J]) take(j waiter[J]) J {
	w.waited = 0
	if !j.since.IsZero() {
		w.waited = time.Since(j.since)
	}
	return j.job
}

// loop runs jobs until the worker ends.
func (w *worker[J]) loop(job J) {
	defer w.detach() // deferred, so that neither panic nor Goexit shrinks the pool
	for ok := true; ok; job, ok = w.next() {
		if !w.pool.run(w, job) {
			return
		}
	}
}

// next waits for a job. It reports false if the worker must end.
func (w *worker[J]) next() (job J, ok bool) {
	p := w.pool
	p.mu.Lock()
	if w.detached || p.closed && p.waiting.len() == 0 {
		p.mu.Unlock()
		return job, false
	}
	if p.waiting.len() > 0 {
		next := p.waiting.pop()
		p.mu.Unlock()
		return w.take(next), true
	}
	w.waited = 0
	p.mostBusy = max(p.mostBusy, p.workers-len(p.idle))
	p.idle = append(p.idle, w)
	if p.timer == nil {
		p.spare = len(p.idle)
		p.timer = time.AfterFunc(p.idleTime, p.retire)
	}
	p.mu.Unlock()
	job, ok = <-w.jobs
	return job, ok
}

// detach gives w's place to another worker while w's job may go on. It is idempotent
// and safe for concurrent use.
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
		w.detached = true
		close(w.jobs)
	}
	p.workers -= n
	p.idle = slices.Delete(p.idle, 0, n)
}

// poolLoad is a pool's state and its high-water marks.
type poolLoad struct{ workers, busy, mostBusy, waiting, mostWaiting int }

func (p *pool[J]) load() poolLoad {
	p.mu.Lock()
	defer p.mu.Unlock()
	busy := p.workers - len(p.idle)
	p.mostBusy = max(p.mostBusy, busy)
	return poolLoad{p.workers, busy, p.mostBusy, p.waiting.len(), p.mostWait}
}

// close ends idle workers now, and the others when no job waits any more.
func (p *pool[J]) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.dismiss(len(p.idle))
	for _, t := range []*time.Timer{p.timer, p.waitEnd} {
		if t != nil {
			t.Stop()
		}
	}
	p.timer, p.waitEnd = nil, nil
}

// queue is first in, first out, without shifting what is in it.
type queue[J any] struct {
	in, out []J // out is in pop order from head on
	head    int
}

func (q *queue[J]) len() int { return len(q.in) + len(q.out) - q.head }

// first is the next to be popped.
func (q *queue[J]) first() J {
	if q.head == len(q.out) {
		return q.in[0]
	}
	return q.out[q.head]
}

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
