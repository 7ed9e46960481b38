package faults

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/scgi"
)

// A server ends in order whatever the sequence of its listeners, requests, Shutdown and
// Close. Shutdown returns, and every request that was let in is answered.
func TestRandomLifecycles(t *testing.T) {
	inParallel(300, func(seed int) {
		r := rand.New(rand.NewPCG(uint64(seed), 0))
		if what := newLifecycle(t, r).run(); what != "" {
			t.Errorf("seed %d: %s", seed, what)
		}
	})
}

// lifecycle is one run of a server.
type lifecycle struct {
	t         *testing.T
	server    *scgi.Server
	listeners []net.Listener
	asked     []int // the listener that each client dials
	when      int   // whether Shutdown or Close comes before, during or after the requests
	closes    bool
}

const (
	before = iota
	amid
	after
)

func newLifecycle(t *testing.T, r *rand.Rand) *lifecycle {
	c := &lifecycle{t: t, when: r.IntN(3), closes: r.IntN(4) == 0}
	c.server = &scgi.Server{
		MaxConns:   1 + r.IntN(3),
		MaxWorkers: 1 + r.IntN(3),
		Handler: scgi.HandlerFunc(func(w http.ResponseWriter, _ *scgi.Request) {
			runtime.Gosched()
			io.WriteString(w, "served")
		}),
	}
	for range 1 + r.IntN(3) {
		kind := []string{"unix", "unix", "unix", "tcp", "tcp", "tcp", "unix net", "tcp net"}[r.IntN(8)]
		c.listeners = append(c.listeners, listen(t, kind))
	}
	for range r.IntN(8) {
		c.asked = append(c.asked, r.IntN(len(c.listeners)))
	}
	return c
}

// run returns a description of what went wrong, or "".
func (c *lifecycle) run() (what string) {
	var serving, asking sync.WaitGroup
	for _, l := range c.listeners {
		serving.Go(func() {
			if err := c.server.Serve(l); err != scgi.ErrServerClosed {
				c.t.Errorf("Serve: %v", err)
			}
		})
	}
	if c.when == before {
		what = c.end()
	}
	cut := make(chan string, len(c.asked))
	for _, i := range c.asked {
		asking.Go(func() { cut <- askOnce(c.listeners[i].Addr()) })
	}
	if c.when == amid {
		what = c.end()
	}
	asking.Wait()
	close(cut)
	for reply := range cut {
		if c.when == after && !strings.HasSuffix(reply, "served") {
			what = "a request got " + reply
		}
	}
	if c.when == after {
		what += c.end()
	}
	serving.Wait()
	if st := c.server.Stats(); !c.closes && st.Open != 0 {
		what += "connections are left open"
	}
	return what
}

// end calls Shutdown or Close.
func (c *lifecycle) end() string {
	if c.closes {
		c.server.Close()
		return ""
	}
	if err := c.server.Shutdown(within(5 * time.Second)); err != nil {
		c.server.Close()
		return "Shutdown: " + err.Error()
	}
	return ""
}

// askOnce returns the reply or the text of the error.
func askOnce(addr net.Addr) string {
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, get("/"))
	raw, err := io.ReadAll(c)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// A connection that was accepted before its request arrived is served, even if others never
// stop arriving.
func TestLateRequestIsServedDuringFlood(t *testing.T) {
	const most = 1000
	l := listen(t, "unix")
	late := dial(t, l.Addr())
	answered := make(chan string, 1)
	go func() {
		raw, _ := io.ReadAll(late)
		answered <- string(raw)
	}()
	var accepted atomic.Int64
	start(t, &scgi.Server{Handler: echo, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
		n := accepted.Add(1)
		if n == 2 { // the late connection was the first
			io.WriteString(late, get("/"))
		}
		if len(answered) == 0 && n < most {
			io.WriteString(dial(t, l.Addr()), get("/")) // keeps the backlog from being empty
		}
		return ctx
	}}, l)
	io.WriteString(dial(t, l.Addr()), get("/"))
	if r := parseReply(t, <-answered); r.Status != 200 || accepted.Load() >= most {
		t.Errorf("%+v after %d others", r, accepted.Load())
	}
}
