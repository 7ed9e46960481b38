package faults

// hostile_handlers_test.go runs handlers that end at any point, keep what they were lent,
// and write at the same time. Each harms only its own request: afterwards an honest request
// is served, and the counters add up.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/scgi"
)

// ends are the ways in which a handler ends without returning. counted marks those that a
// Server counts as panics.
var ends = []struct {
	name    string
	end     func()
	counted bool
}{
	{"panic", func() { panic("hostile") }, true},
	{"panic with nil", func() { panic(nil) }, true},
	{"panic with a value that panics", func() { panic(hostileError{}) }, true},
	{"Goexit", runtime.Goexit, true},
	{"ErrAbortHandler", func() { panic(http.ErrAbortHandler) }, false},
}

type hostileError struct{}

func (hostileError) Error() string { panic("hostile again") }

// places are the points at which a handler may end. The client gets a 500, unless a part of
// the reply was sent: then the connection is cut.
var places = []struct {
	name string
	cut  bool
	h    func(w http.ResponseWriter, r *scgi.Request, end func())
}{
	{"at once", false, func(w http.ResponseWriter, r *scgi.Request, end func()) { end() }},
	{"after WriteHeader", false, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		w.WriteHeader(http.StatusOK)
		end()
	}},
	{"after a write", false, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		io.WriteString(w, "secret")
		end()
	}},
	{"after a flush", true, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		w.(http.Flusher).Flush()
		end()
	}},
	{"between flushes", true, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		for i := range 3 {
			fmt.Fprintln(w, i)
			w.(http.Flusher).Flush()
		}
		end()
	}},
	{"within its Content-Length", true, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "a part")
		w.(http.Flusher).Flush()
		end()
	}},
	{"in a deferred function", false, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		defer end()
		io.WriteString(w, "secret")
	}},
	{"in a deferred function of a panic", false, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		defer end()
		panic("the first")
	}},
	{"while the body is copied", false, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		io.Copy(writerFunc(func([]byte) (int, error) { end(); return 0, nil }), r.Body)
	}},
	{"in a source", false, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		io.Copy(w, readerFunc(func([]byte) (int, error) { end(); return 0, nil }))
	}},
	{"in a source, after much", true, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		much := io.LimitReader(readerFunc(func(p []byte) (int, error) { clear(p); return len(p), nil }), 64<<10)
		io.Copy(w, io.MultiReader(much, readerFunc(func([]byte) (int, error) { end(); return 0, nil })))
	}},
	{"in a program", false, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		scgi.ProduceFunc(func(_ scgi.Env, _ int64, _ io.Reader, out io.Writer) {
			io.WriteString(out, "Status: 200 OK\n\nsecret")
			end()
		}).ServeSCGI(w, r)
	}},
	{"in a program that has flushed", true, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		scgi.ProduceFunc(func(_ scgi.Env, _ int64, _ io.Reader, out io.Writer) {
			io.WriteString(out, "Status: 200 OK\n\n")
			out.(http.Flusher).Flush()
			end()
		}).ServeSCGI(w, r)
	}},
	{"under net/http", false, func(w http.ResponseWriter, r *scgi.Request, end func()) {
		scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.ReadAll(r.Body)
			end()
		})).ServeSCGI(w, r)
	}},
}

// endHere serves /place/way, where each is the number of a row.
func endHere(w http.ResponseWriter, r *scgi.Request) {
	var place, way int
	if n, _ := fmt.Sscanf(r.Env.Get("REQUEST_URI"), "/%d/%d", &place, &way); n != 2 {
		io.WriteString(w, "fine")
		return
	}
	places[place].h(w, r, ends[way].end)
}

func TestHandlerMayEndAnywhere(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &scgi.Server{MaxWorkers: 2, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Handler: scgi.HandlerFunc(endHere)}
		leavesNothing(t, s)
		start(t, s, l)
		var panics int64
		for i, place := range places {
			for j, way := range ends {
				uri := fmt.Sprintf("/%d/%d", i, j)
				raw, err := askCut(t, l.Addr(), post(uri, "body"))
				status, _, _ := answered(raw)
				switch {
				case strings.Contains(raw, "secret"):
					t.Errorf("%s, %s: %q", place.name, way.name, raw)
				case !place.cut && (status != 500 || err != nil):
					t.Errorf("%s, %s: %q, %v; want 500", place.name, way.name, raw, err)
				case place.cut && (status == 500 || l.Addr().Network() == "tcp" && err == nil):
					t.Errorf("%s, %s: %.100q, %v; want a cut connection", place.name, way.name, raw, err)
				}
				if raw := ask(t, l.Addr(), get("/")); !strings.HasSuffix(raw, "fine") {
					t.Errorf("after %s, %s: %q", place.name, way.name, raw)
				}
				if way.counted {
					panics++
				}
			}
		}
		s.Shutdown(within(patience))
		rows := int64(len(places) * len(ends))
		if st := s.Stats(); st.Panics != panics || st.Served != 2*rows {
			t.Errorf("want %d panics in %d requests: %+v", panics, 2*rows, st)
		}
	})
}

// A request that ended in the server's own 500 is counted as a 500, at each level.
func TestFailuresAreCountedByClass(t *testing.T) {
	for level, h := range map[string]scgi.Handler{
		"native":  scgi.HandlerFunc(func(http.ResponseWriter, *scgi.Request) { panic("hostile") }),
		"produce": scgi.ProduceFunc(func(scgi.Env, int64, io.Reader, io.Writer) { panic("hostile") }),
		"http":    scgi.HTTPHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("hostile") })),
	} {
		s := &scgi.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
		l := listen(t, "unix")
		start(t, s, l)
		if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 500 {
			t.Errorf("%s: %+v", level, r)
		}
		s.Shutdown(within(patience))
		if n := s.Stats().Statuses[5]; n != 1 {
			t.Errorf("%s: %d failures were counted: %v", level, n, s.Stats().Statuses)
		}
	}
}

// A panic whose value ends the goroutine that logs it still ends its connection.
func TestPanicValueThatEndsTheGoroutine(t *testing.T) {
	l := listen(t, "unix")
	s := &scgi.Server{Handler: scgi.HandlerFunc(func(http.ResponseWriter, *scgi.Request) { panic(goexitError{}) })}
	start(t, s, l)
	defer s.Close()
	c := dial(t, l.Addr())
	c.SetDeadline(time.Now().Add(3 * time.Second))
	io.WriteString(c, get("/"))
	if raw, err := io.ReadAll(c); err != nil {
		t.Errorf("%q, %v", raw, err)
	}
}

type goexitError struct{}

func (goexitError) Error() string {
	runtime.Goexit()
	return ""
}

// askCut is ask for a reply that may be truncated.
func askCut(t *testing.T, addr net.Addr, request string) (string, error) {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	io.WriteString(c, request)
	raw, err := io.ReadAll(c)
	return string(raw), err
}

// Eight goroutines write at once, and each write arrives whole.
func TestConcurrentWritesAndFlushes(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		const lines = 200
		s := &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			writeFromMany(lines, func(line string) {
				io.WriteString(w, line)
				w.(http.Flusher).Flush()
			})
		})}
		start(t, s, l)
		seen := make(map[string]int)
		for line := range strings.Lines(parseReply(t, ask(t, l.Addr(), get("/"))).Body) {
			seen[line]++
		}
		for g := range 8 {
			for i := range lines {
				if seen[fmt.Sprintf("%d of %d\n", i, g)] != 1 {
					t.Fatalf("line %d of %d arrived %d times", i, g, seen[fmt.Sprintf("%d of %d\n", i, g)])
				}
			}
		}
	})
}

func writeFromMany(lines int, write func(string)) {
	var writers sync.WaitGroup
	for g := range 8 {
		writers.Go(func() {
			for i := range lines {
				write(fmt.Sprintf("%d of %d\n", i, g))
			}
		})
	}
	writers.Wait()
}

// Although buffers are reused, a goroutine that outlives its handler can neither write into
// another reply nor read another body.
func TestUseAfterReturnReachesNoOtherRequest(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		var left sync.WaitGroup
		s := &scgi.Server{MaxWorkers: 2, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			if r.Env.Get("REQUEST_URI") != "/evil" {
				io.Copy(w, r.Body)
				return
			}
			for range 4 {
				left.Go(func() { writeUntilClosed(t, w) })
				left.Go(func() { readUntilClosed(t, r) })
			}
		})}
		leavesNothing(t, s)
		start(t, s, l)
		honest := strings.Repeat("honest ", 1000)
		for range 20 {
			askCut(t, l.Addr(), post("/evil", strings.Repeat("evil ", 4000)))
			if r := parseReply(t, ask(t, l.Addr(), post("/", honest))); r.Body != honest {
				t.Errorf("%d %.300q", r.Status, r.Body)
			}
		}
		left.Wait()
	})
}

func writeUntilClosed(t *testing.T, w http.ResponseWriter) {
	for range 1 << 20 {
		if _, err := io.WriteString(w, "evil"); err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("a late write: %v", err)
			}
			return
		}
		w.(http.Flusher).Flush()
	}
	t.Error("writing never failed")
}

func readUntilClosed(t *testing.T, r *scgi.Request) {
	var some [64]byte
	for {
		n, err := r.Body.Read(some[:])
		if strings.Contains(string(some[:n]), "honest") {
			t.Error("a late read returned the body of another request")
		}
		if err != nil {
			return
		}
	}
}

// A handler may keep everything that it was given. Changes to it affect no other request.
func TestHandlerKeepsValidValues(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		type kept struct {
			header http.Header
			r      *scgi.Request
			ctx    context.Context
		}
		keep := make(chan kept, 1)
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("X-Uri", r.Env.Get("REQUEST_URI"))
			select {
			case keep <- kept{w.Header(), r, r.Context()}:
			default:
			}
		})}, l)
		ask(t, l.Addr(), get("/kept"))
		k := <-keep
		keep <- k // later requests find the channel full
		k.header.Set("X-Uri", "changed")
		k.header.Set("X-More", "evil")
		for range 20 {
			if r := parseReply(t, ask(t, l.Addr(), get("/other"))); r.Header.Get("X-Uri") != "/other" || r.Header.Get("X-More") != "" {
				t.Errorf("%+v", r)
			}
		}
		<-k.ctx.Done()
		if got, ok := scgi.FromContext(k.ctx); !ok || got != k.r || k.r.Env.Get("REQUEST_URI") != "/kept" {
			t.Errorf("%v, %+v", ok, got)
		}
	})
}

// A handler that ignores that its peer is gone holds only its own worker, and Shutdown
// waits for it.
func TestHandlerThatIgnoresItsContext(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		begun, release := make(chan bool), make(chan bool)
		s := &scgi.Server{MaxWorkers: 2, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			if r.Env.Get("REQUEST_URI") == "/ignore" {
				<-r.Context().Done()
				begun <- true
				<-release
			}
		})}
		leavesNothing(t, s)
		start(t, s, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/ignore"))
		c.Close()
		<-begun
		for range 10 {
			if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
				t.Errorf("%+v", r)
			}
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Shutdown(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown did not wait: %v", err)
		}
		close(release)
	})
}

// After a handler hijacks the connection, closes it and panics, the server is done with it.
func TestHijackThenPanic(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &scgi.Server{MaxWorkers: 1, Logger: slog.New(slog.DiscardHandler), Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			if r.Env.Get("REQUEST_URI") == "/" {
				return
			}
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(c, "mine")
			c.Close()
			panic("hostile")
		})}
		t.Cleanup(func() {
			if st := s.Stats(); st.Panics != 10 || st.Served != 20 {
				t.Errorf("%+v", st)
			}
		})
		leavesNothing(t, s)
		start(t, s, l)
		for range 10 {
			if raw := ask(t, l.Addr(), get("/hijack")); raw != "mine" {
				t.Errorf("%q", raw)
			}
			if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
				t.Errorf("%+v", r)
			}
		}
	})
}
