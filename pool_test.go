package scgi

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// testPool runs functions. A function that returns false ends its worker.
func testPool(max int) *pool[func() bool] {
	return &pool[func() bool]{
		run:      func(_ *worker[func() bool], job func() bool) bool { return job() },
		max:      max,
		idleTime: time.Minute,
	}
}

// raise raises high to at least n.
func raise(high *atomic.Int64, n int64) {
	for old := high.Load(); n > old && !high.CompareAndSwap(old, n); old = high.Load() {
	}
}

func (p *pool[J]) counts() (workers, idle, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.workers, len(p.idle), p.waiting.len()
}

func TestPoolNeverExceedsItsLimit(t *testing.T) {
	for _, max := range []int{1, 10, 100, -1} {
		synctest.Test(t, func(t *testing.T) {
			p := testPool(max)
			defer p.close()
			var running, high, done atomic.Int64
			const jobs = 1000
			for range jobs {
				p.submit(func() bool {
					raise(&high, running.Add(1))
					time.Sleep(time.Second)
					running.Add(-1)
					done.Add(1)
					return true
				})
			}
			began := time.Now()
			synctest.Wait()
			want := min(int64(max), jobs)
			if max < 0 {
				want = jobs
			}
			if high.Load() != want {
				t.Errorf("max %d: %d ran at once, want %d", max, high.Load(), want)
			}
			for done.Load() < jobs {
				time.Sleep(time.Second)
			}
			if took := time.Since(began); took > time.Duration(jobs/want+2)*time.Second {
				t.Errorf("max %d: some workers stayed idle: it took %v", max, took)
			}
		})
	}
}

func TestPoolReusesLastIdleWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(8)
		defer p.close()
		hold := make(chan bool)
		for range 5 {
			p.submit(func() bool { return <-hold })
		}
		for range 5 {
			hold <- true
		}
		synctest.Wait()
		last := p.idle[len(p.idle)-1]
		p.submit(func() bool { return <-hold })
		if w, i, _ := p.counts(); w != 5 || i != 4 || p.idle[i-1] == last {
			t.Errorf("%d workers, %d idle", w, i)
		}
		hold <- true
		// One worker stays in use, and the others are not needed.
		for range 130 {
			time.Sleep(time.Second)
			p.submit(func() bool { return true })
			synctest.Wait()
		}
		if w, i, _ := p.counts(); w != 1 || i != 1 {
			t.Errorf("after two idle times: %d workers, %d idle", w, i)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if w, _, _ := p.counts(); w != 0 || p.timer != nil {
			t.Errorf("unused for long: %d workers, timer %v", w, p.timer)
		}
	})
}

func TestPoolReplacesWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(2)
		defer p.close()
		var ran atomic.Int64
		for i := range 1000 {
			p.submit(func() bool {
				ran.Add(1)
				switch i % 3 {
				case 0:
					return false
				case 1:
					runtime.Goexit()
				}
				return true
			})
		}
		synctest.Wait()
		if w, i, waiting := p.counts(); ran.Load() != 1000 || w != i || waiting != 0 {
			t.Errorf("%d ran; %d workers, %d idle, %d waiting", ran.Load(), w, i, waiting)
		}
	})
}

func TestPoolDetach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool[chan bool]{max: 1, idleTime: time.Minute, run: func(w *worker[chan bool], c chan bool) bool {
			if <-c {
				w.detach()
				w.detach() // idempotent
				<-c
			}
			return true
		}}
		defer p.close()
		first, second := make(chan bool), make(chan bool)
		p.submit(first)
		p.submit(second)
		synctest.Wait()
		if _, _, waiting := p.counts(); waiting != 1 {
			t.Fatalf("%d wait", waiting)
		}
		first <- true
		second <- false // this would hang if the detached worker still counted
		first <- false
		synctest.Wait()
		if w, i, waiting := p.counts(); w != 1 || i != 1 || waiting != 0 {
			t.Errorf("%d workers, %d idle, %d waiting", w, i, waiting)
		}
	})
}

func TestPoolCloseRunsWaitingJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(1)
		hold := make(chan bool)
		var ran atomic.Int64
		for range 10 {
			p.submit(func() bool { ran.Add(1); return <-hold })
		}
		p.close()
		for range 10 {
			hold <- true
		}
		synctest.Wait()
		if w, _, _ := p.counts(); ran.Load() != 10 || w != 0 {
			t.Errorf("%d ran, %d workers are left", ran.Load(), w)
		}
	})
}

func TestQueueOrder(t *testing.T) {
	var q queue[int]
	next, want := 0, 0
	for round := range 100 {
		for range round % 7 {
			q.push(next)
			next++
		}
		for range min(q.len(), round%5) {
			if got := q.pop(); got != want {
				t.Fatalf("popped %d, want %d", got, want)
			}
			want++
		}
	}
	if q.len() != next-want {
		t.Errorf("%d are left of %d", q.len(), next-want)
	}
}

func BenchmarkDispatch(b *testing.B) {
	p := testPool(4)
	defer p.close()
	var wg sync.WaitGroup
	job := func() bool { wg.Done(); return true }
	for b.Loop() {
		wg.Add(1)
		p.submit(job)
		wg.Wait()
	}
}
