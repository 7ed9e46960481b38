package faults

// hostile_test.go runs hostile peers. Honest requests are served meanwhile, and the server's
// limits bound what the peers can take.

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi"
)

// zeros is the content of a long reply.
var zeros = sync.OnceValue(func() []byte { return make([]byte, 32<<20) })

// perConnection bounds the memory for a connection that has sent little. It includes the
// peer's end and its stack, since the peer is this process too.
const perConnection = 8 << 10

// On a net.Conn, waiting needs a buffer.
const perPortableConnection = perConnection + 2<<10

// silentPeers are what 2000 connections send in turn to pin as much memory as they can.
var silentPeers = []string{
	"",                  // nothing
	"7",                 // hardly anything
	"70:CONTENT_LENGTH", // a part of a header
	strconv.Itoa(scgi.DefaultMaxHeaderBytes) + ":CONTENT_LENGTH\x000\x00", // the start of a long header
}

func TestSilentPeersCostLittle(t *testing.T) {
	const peers = 2000
	for _, kind := range []string{"unix", "tcp", "tcp portable"} {
		t.Run(kind, func(t *testing.T) {
			s := &scgi.Server{MaxWorkers: 4}
			leavesNothing(t, s)
			l := listen(t, kind)
			start(t, s, l)
			ask(t, l.Addr(), get("/"))
			before := memoryInUse()
			hold := holdConns(t, l.Addr(), peers)
			for range 20 { // by then the accept loop has taken all earlier connections
				if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
					t.Errorf("an honest request: %+v", r)
				}
			}
			cost := (memoryInUse() - before) / peers
			t.Logf("%d bytes for each connection, its peer's end included", cost)
			if cost > map[bool]int64{true: perPortableConnection, false: perConnection}[kind == "tcp portable"] {
				t.Errorf("a connection costs %d bytes", cost)
			}
			for _, c := range hold {
				c.Close()
			}
			s.Shutdown(within(patience))
			// On TCP the kernel holds back peers that send nothing for a while.
			silent := peers / int64(len(silentPeers))
			if st := s.Stats(); st.Empty != silent || st.MostOpen < peers-silent {
				t.Errorf("%+v", st)
			}
		})
	}
}

func holdConns(t *testing.T, addr net.Addr, n int) (conns []net.Conn) {
	t.Helper()
	for i := range n {
		c, err := net.Dial(addr.Network(), addr.String())
		if errors.Is(err, syscall.EMFILE) {
			t.Skip("too few descriptors")
		}
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, silentPeers[i%len(silentPeers)])
		conns = append(conns, c)
	}
	return conns
}

// Silent peers are timed out, whether or not other requests are served meanwhile.
func TestSilentPeersAreTimedOut(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &scgi.Server{ReadHeaderTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
		leavesNothing(t, s)
		start(t, s, l)
		const peers = 24
		inParallel(peers, func(i int) {
			input := silentPeers[i%len(silentPeers)]
			raw, err := askCut(t, l.Addr(), input)
			if status, _, _ := answered(raw); err != nil || status != map[bool]int{true: 0, false: 408}[input == ""] {
				t.Errorf("%q is answered with %q, %v", input, raw, err)
			}
		})
		s.Shutdown(within(patience))
		if st := s.Stats(); st.Refused[408] != peers-peers/4 || st.Empty != peers/4 {
			t.Errorf("%+v", st)
		}
	})
}

// A flood of connections that are reset, some of them with an unanswered request, delays
// honest requests but does nothing worse.
func TestFloodOfResets(t *testing.T) {
	for _, kind := range faultKinds {
		t.Run(kind, func(t *testing.T) {
			l := listen(t, kind)
			log := &syncBuffer{}
			s := &scgi.Server{MaxWorkers: 4, Logger: slog.New(slog.NewTextHandler(log, nil)), Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
				if r.Env.Get("REQUEST_URI") == "/big" {
					w.Write(zeros()[:1<<20])
				}
			})}
			leavesNothing(t, s)
			start(t, s, l)
			inputs := []string{"", "7", get("/"), get("/big"), post("/big", "x")}
			var honest sync.WaitGroup
			honest.Go(func() {
				for range 50 {
					if raw := askRaw(t, l.Addr(), get("/")); !strings.HasPrefix(raw, "Status: 200") {
						t.Errorf("an honest request: %q", raw)
					}
				}
			})
			inParallel(1000, func(i int) { sendAndReset(t, l.Addr(), inputs[i%len(inputs)]) })
			honest.Wait()
			s.Shutdown(within(patience))
			// On TCP the server may never see peers that sent nothing.
			if st := s.Stats(); st.Accepted > 1050 || st.Accepted < 1050-1000/int64(len(inputs)) || st.MostBusy > 4 {
				t.Errorf("%+v", st)
			}
			if strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("the log says %.1000s", log)
			}
		})
	}
}

// A request may have at most 1000 variables, however short they are. A million more are
// refused before they are parsed.
func TestMaxVariables(t *testing.T) {
	const start4 = "CONTENT_LENGTH\x000\x00SCGI\x001\x00REQUEST_URI\x00/\x00HTTP_HOST\x00h\x00"
	l := listen(t, "unix")
	s := &scgi.Server{MaxHeaderBytes: -1, Handler: scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		over, _ := scgi.FromContext(r.Context())
		io.WriteString(w, strconv.Itoa(over.Env.Len()))
	}))}
	start(t, s, l)
	for _, variable := range []string{"a\x00\x00", "HTTP_A\x00\x00", "CONTENT_LENGTH\x000\x00", "SCGI\x001\x00"} {
		for more, status := range map[int]int{1000 - 4: 200, 1000 - 3: 431, 1000000: 431} {
			block := start4 + strings.Repeat(variable, more)
			r := parseReply(t, ask(t, l.Addr(), fmt.Sprintf("%d:%s,", len(block), block)))
			if r.Status != status || status == 200 && r.Body != strconv.Itoa(1000) {
				t.Errorf("%d more of %q: %d %.100q", more, variable, r.Status, r.Body)
			}
		}
	}
	if n := s.Stats().Refused[431]; n != 8 {
		t.Errorf("%d were refused", n)
	}
}

// A length that no client can mean is refused at once. Any other costs no memory until the
// bytes arrive.
func TestHugeLengths(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		got := make(chan int64, 1)
		start(t, &scgi.Server{MaxHeaderBytes: -1, MaxBodyBytes: -1, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			got <- n
		})}, l)
		body := func(length string) string { return encode("x", "CONTENT_LENGTH", length, "SCGI", "1") }
		before := totalAlloc()
		for _, test := range []struct {
			input  string
			status int
		}{
			{"2147483647:CONTENT_LENGTH", 400},
			{"2147483648:CONTENT_LENGTH", 431},
			{strings.Repeat("9", 1000) + ":", 431},
			{body("9223372036854775807"), 200},
			{body("9223372036854775808"), 400},
			{body(strings.Repeat("9", 1000)), 400},
		} {
			raw := askRaw(t, l.Addr(), test.input)
			if status, _, _ := answered(raw); status != test.status {
				t.Errorf("%.60q is answered with %q, want %d", test.input, raw, test.status)
			}
		}
		if n := <-got; n != 1 {
			t.Errorf("%d bytes of body", n)
		}
		if used := totalAlloc() - before; used > 16<<20 {
			t.Errorf("%d bytes were allocated", used)
		}
	})
}

func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// Sending byte by byte does not extend the time for a header, and a body that arrives byte
// by byte holds only its own worker.
func TestDrippingPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 10 * time.Second
		s := &scgi.Server{Handler: howItEnds, MaxWorkers: 2, ReadHeaderTimeout: timeout, ReadTimeout: timeout}
		dial := pipeServer(t, s)
		request := post("/", "hello")
		header := dial()
		body := dial()
		var dripping sync.WaitGroup
		dripping.Go(func() { drip(header, request, time.Second) })
		dripping.Go(func() {
			io.WriteString(body, request[:len(request)-5])
			drip(body, request[len(request)-5:], timeout-1)
		})
		for range 20 {
			time.Sleep(time.Second) // synctest's time
			if r := parseReply(t, <-exchangeOn(dial(), get("/"))); r.Status != 200 {
				t.Errorf("an honest request: %+v", r)
			}
		}
		if raw, _ := io.ReadAll(header); !strings.HasPrefix(string(raw), "Status: 408") {
			t.Errorf("a dripping header: %q", raw)
		}
		if raw, _ := io.ReadAll(body); !strings.HasSuffix(string(raw), "hello") {
			t.Errorf("a dripping body: %q", raw)
		}
		header.Close()
		body.Close()
		dripping.Wait()
		s.Shutdown(within(patience))
	})
}

func drip(c net.Conn, s string, pause time.Duration) {
	for i := range len(s) {
		time.Sleep(pause)
		if _, err := io.WriteString(c, s[i:i+1]); err != nil {
			return
		}
	}
}

// A peer that reads nothing of its reply frees the worker after WriteTimeout.
func TestPeersThatDoNotRead(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		const peers = 4
		ended := make(chan error, peers)
		s := &scgi.Server{MaxWorkers: 2, WriteTimeout: 20 * time.Millisecond, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			if r.Env.Get("REQUEST_URI") == "/big" {
				_, err := w.Write(zeros())
				ended <- err
			}
		})}
		leavesNothing(t, s)
		start(t, s, l)
		for range peers {
			io.WriteString(dial(t, l.Addr()), get("/big"))
		}
		if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
			t.Errorf("an honest request: %+v", r)
		}
		for range peers {
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a reply that no one reads ends with %v", err)
			}
		}
		s.Shutdown(within(patience))
	})
}
