package faults

// soak_test.go runs a mixed load with faults in it. For each kind, the number of requests
// sent must equal the number counted, and nothing may be left at the end. It takes seconds,
// or as long as -soak says.

import (
	"errors"
	"flag"
	"io"
	"log/slog"
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

var (
	soakTime = flag.Duration("soak", 3*time.Second, "how long TestSoak runs")
	soakFile = flag.String("soak.csv", "", "where TestSoak writes what the process held, 200 times")
)

const bigReply = 1 << 20

// soakHandler answers the requests of soakKinds.
func soakHandler(w http.ResponseWriter, r *scgi.Request) {
	switch r.Env.Get("REQUEST_URI") {
	case "/panic":
		panic("hostile")
	case "/goexit":
		runtime.Goexit()
	case "/big":
		w.Write(zeros()[:bigReply])
	case "/stream":
		for range 10 {
			io.WriteString(w, "0123456789")
			w.(http.Flusher).Flush()
		}
	case "/unread":
		io.WriteString(w, "done")
	default:
		body, err := io.ReadAll(r.Body)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Write(body)
	}
}

// soakKinds are the kinds of request in the load, with the expected answers. A status of -1
// means that the peer vanishes and gets no answer.
var soakKinds = []struct {
	name, request string
	status, size  int
	served        bool // whether the handler serves it
}{
	{"page", get("/"), 200, 0, true},
	{"upload", post("/", strings.Repeat("upload", 5000)), 200, 30000, true},
	{"unread upload", post("/unread", strings.Repeat("upload", 5000)), 200, 4, true},
	{"big reply", get("/big"), 200, bigReply, true},
	{"stream", get("/stream"), 200, 100, true},
	{"panic", get("/panic"), 500, 22, true},
	{"goexit", post("/goexit", "body"), 500, 22, true},
	{"cut body", strings.TrimSuffix(post("/", "body"), "dy"), 400, 0, true},
	{"cut header", get("/")[:50], 400, -1, false},
	{"malformed", "07:", 400, -1, false},
	{"over a limit", encode("", "CONTENT_LENGTH", "99999999999999", "SCGI", "1"), 413, -1, false},
	{"empty", "", 0, 0, false},
	{"vanishes", "", -1, 0, false},
	{"vanishes in the header", get("/")[:50], -1, 0, false},
}

func TestSoak(t *testing.T) {
	s := &scgi.Server{MaxWorkers: 8, MaxConns: 64, Logger: slog.New(slog.DiscardHandler), Handler: scgi.HandlerFunc(soakHandler)}
	leavesNothing(t, s)
	var addrs []net.Addr
	for _, kind := range []string{"unix", "unix", "tcp", "unix portable"} {
		l := listen(t, kind)
		start(t, s, l)
		addrs = append(addrs, l.Addr())
	}
	sent := soak(t, addrs)
	if err := s.Shutdown(within(patience)); err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	t.Logf("sent %v, counted %+v", sent, st)
	var all, served, panics, silent int64
	var classes [6]int64
	for i, kind := range soakKinds {
		all += sent[i]
		if kind.served {
			served += sent[i]
			classes[kind.status/100] += sent[i]
		}
		if kind.status == 500 {
			panics += sent[i]
		}
		if kind.request == "" {
			silent += sent[i]
		}
	}
	// On TCP the server may never see peers that sent nothing.
	if st.Accepted > all || st.Accepted < all-silent || st.Served != served || st.Panics != panics || st.Statuses != classes {
		t.Errorf("sent %d, of them %d to the handler, %d to panic, %v by class; counted %+v", all, served, panics, classes, st)
	}
}

// soak sends requests until the time is over, and returns the number of each kind.
func soak(t *testing.T, addrs []net.Addr) []int64 {
	sent := make([]atomic.Int64, len(soakKinds))
	var all atomic.Int64
	stop := watchSoak(*soakTime/200, all.Load)
	var peers sync.WaitGroup
	end := time.Now().Add(*soakTime)
	for seed := range 16 {
		peers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(seed), 0))
			for time.Now().Before(end) && !t.Failed() {
				kind := r.IntN(len(soakKinds))
				soakOnce(t, addrs[r.IntN(len(addrs))], kind)
				sent[kind].Add(1)
				all.Add(1)
			}
		})
	}
	peers.Wait()
	samples := stop()
	if *soakTime >= time.Minute { // a short run does not show growth
		checkFlat(t, samples)
	}
	if *soakFile != "" {
		if err := writeSamples(*soakFile, samples); err != nil {
			t.Error(err)
		}
	}
	counts := make([]int64, len(sent))
	for i := range sent {
		counts[i] = sent[i].Load()
	}
	return counts
}

func soakOnce(t *testing.T, addr net.Addr, i int) {
	kind := soakKinds[i]
	if kind.status < 0 {
		sendAndReset(t, addr, kind.request)
		return
	}
	raw := askRaw(t, addr, kind.request)
	status, body, _ := answered(raw)
	if status != kind.status || kind.size >= 0 && len(body) != kind.size {
		t.Errorf("%s: %d with %d bytes, %.200q", kind.name, status, len(body), raw)
	}
}
