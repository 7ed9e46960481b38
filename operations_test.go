package scgi

import (
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi/internal/socket"
	"example.com/scgi/internal/status"
)

// exchangeOn sends a request on a pipe and returns the reply, on a channel.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan bool)
		s := &Server{MaxWorkers: 1, MaxQueue: 2, QueueTimeout: 10 * time.Second, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) { <-hold })}
		dial := pipeServer(t, s)
		var replies []chan string
		for range 5 {
			replies = append(replies, exchangeOn(dial(), get("/")))
			synctest.Wait()
		}
		for _, i := range []int{3, 4} { // over MaxQueue: at once
			if r := parseReply(t, <-replies[i]); r.Status != 503 || r.Header.Get("Retry-After") != "1" {
				t.Errorf("request %d: %+v", i, r)
			}
		}
		if st := s.Stats(); st.Waiting != 2 || st.MostWaiting != 2 || st.Busy != 1 || st.Refused[503] != 2 {
			t.Errorf("%+v", st)
		}
		began := time.Now()
		for _, i := range []int{1, 2} { // waited too long
			if r := parseReply(t, <-replies[i]); r.Status != 503 || time.Since(began) != 10*time.Second {
				t.Errorf("request %d: %+v after %v", i, r, time.Since(began))
			}
		}
		late := exchangeOn(dial(), get("/"))
		synctest.Wait()
		hold <- true
		hold <- true
		for _, reply := range []chan string{replies[0], late} {
			if r := parseReply(t, <-reply); r.Status != 200 {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestStuckHandlersAreAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan bool)
		var log syncBuffer
		s := &Server{MaxWorkers: 2, MaxAbandoned: 1, RequestTimeout: 10 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
				switch r.Env.Get("REQUEST_URI") {
				case "/stuck":
					<-hold
					if _, err := w.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
						t.Errorf("writing after the 504: %v", err)
					}
				case "/polite":
					<-r.Context().Done()
					if end, ok := r.Context().Deadline(); !ok || time.Until(end) > 0 || r.Context().Err() != context.DeadlineExceeded {
						t.Errorf("deadline %v, %v", end, r.Context().Err())
					}
					w.WriteHeader(502)
				case "/begun":
					w.(http.Flusher).Flush()
					<-hold
				}
			})}
		dial := pipeServer(t, s)
		if r := parseReply(t, <-exchangeOn(dial(), get("/polite"))); r.Status != 502 {
			t.Errorf("a polite handler: %+v", r)
		}
		began := time.Now()
		if r := parseReply(t, <-exchangeOn(dial(), get("/stuck"))); r.Status != 504 || time.Since(began) != 11*time.Second {
			t.Errorf("a stuck handler: %+v after %v", r, time.Since(began))
		}
		if st := s.Stats(); st.Abandoned != 1 || st.Busy != 0 {
			t.Errorf("its worker was not replaced: %+v", st)
		}
		// The second may not be replaced, and its reply is cut.
		if r := <-exchangeOn(dial(), get("/begun")); !strings.HasPrefix(r, "Status: 200") {
			t.Errorf("%q", r)
		}
		if st := s.Stats(); st.Abandoned != 2 || st.Busy != 1 || !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("%+v, %s", st, &log)
		}
		if r := parseReply(t, <-exchangeOn(dial(), get("/"))); r.Status != 200 {
			t.Errorf("others are served: %+v", r)
		}
		hold <- true
		hold <- true
		synctest.Wait()
		if st := s.Stats(); st.Abandoned != 0 || st.Refused[504] != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// A handler that is in one of the writer's methods as its time ends, but sends
// nothing, leaves the reply to the server.
func TestAbandonedInTheWriterIsAnswered(t *testing.T) {
	l := listen(t, "unix")
	hold := make(chan bool)
	defer close(hold)
	replies := make(chan *response, 1)
	log := slog.NewTextHandler(writerFunc(func(p []byte) (int, error) { // between the handler's time and the server's reply
		reply := <-replies
		reply.mu.Lock()
		go func() {
			for range 100 {
				runtime.Gosched()
			}
			reply.mu.Unlock()
		}()
		return len(p), nil
	}), nil)
	start(t, &Server{Logger: slog.New(log), RequestTimeout: time.Nanosecond, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
		replies <- w.(*response)
		<-hold
	})}, l)
	if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 504 {
		t.Errorf("%+v", r)
	}
}

// A handler that has taken the connection is not abandoned.
func TestHijackedIsNotAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{RequestTimeout: time.Second, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(time.Hour)
			w.(*response).x.abandon() // as if its timer had been late to be stopped
			io.WriteString(c, "mine")
			c.Close()
		})}
		dial := pipeServer(t, s)
		if raw := <-exchangeOn(dial(), get("/")); raw != "mine" {
			t.Errorf("%q", raw)
		}
		synctest.Wait()
		if st := s.Stats(); st.Abandoned != 0 || st.Refused[504] != 0 || st.Served != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestOnSlow(t *testing.T) {
	hold := make(chan bool)
	told := make(chan SlowRequest)
	l := listen(t, "unix")
	s := &Server{SlowTime: time.Millisecond, OnSlow: func(r SlowRequest) { told <- r; panic("in the hook") }, Handler: HandlerFunc(slowHandler(hold))}
	start(t, s, l)
	c := dial(t, l.Addr())
	io.WriteString(c, get("/slow"))
	r := <-told
	if r.Request.Env.Get("REQUEST_URI") != "/slow" || r.Running < time.Millisecond || !strings.Contains(string(r.Stack), "slowHandler") || strings.Count(string(r.Stack), "goroutine ") > 2 {
		t.Errorf("%+v\n%s", r, r.Stack)
	}
	close(hold)
	io.ReadAll(c)
	if s.Stats().Slow != 1 {
		t.Errorf("%+v", s.Stats())
	}
}

func slowHandler(hold chan bool) HandlerFunc {
	return func(w http.ResponseWriter, r *Request) { <-hold }
}

func TestPanicStormEndsServe(t *testing.T) {
	mine := errors.New("mine")
	for _, test := range []struct {
		hook func() error
		want error
	}{{nil, ErrPanics}, {func() error { return mine }, mine}} {
		l := listen(t, "unix")
		s := &Server{MaxPanics: 3, OnPanics: test.hook, Logger: slog.New(slog.DiscardHandler), Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) { panic("again") })}
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		for range 4 {
			c := dial(t, l.Addr())
			io.WriteString(c, get("/"))
			io.ReadAll(c)
		}
		if err := <-served; !errors.Is(err, test.want) {
			t.Errorf("Serve returned %v", err)
		}
	}
}

func TestPanicStormNeedsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{MaxPanics: 3}
		for i := range 100 {
			if s.isStorm(time.Now()) {
				t.Fatalf("the panic %d is a storm", i)
			}
			time.Sleep(21 * time.Second)
		}
		storms := 0
		for range 8 {
			if s.isStorm(time.Now()) {
				storms++
			}
		}
		if storms != 2 {
			t.Errorf("%d storms", storms)
		}
	})
}

func TestAccessLog(t *testing.T) {
	var access syncBuffer
	l := listen(t, "unix")
	s := &Server{AccessLog: slog.New(slog.NewJSONHandler(&access, nil)), Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
		if r.Env.Get("REQUEST_URI") == "/panic" {
			panic(http.ErrAbortHandler)
		}
		io.Copy(w, r.Body)
	})}
	start(t, s, l)
	ask(t, l.Addr(), post("/echo", "hello"))
	ask(t, l.Addr(), get("/panic"))
	if err := s.Shutdown(within(patience)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(access.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), &access)
	}
	for i, want := range []map[string]any{
		{"method": "POST", "uri": "/echo", "status": 200.0, "in": 5.0, "out": 5.0, "panic": false, "cut": false},
		{"method": "GET", "uri": "/panic", "status": 500.0, "in": 0.0, "panic": true},
	} {
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s is %v, want %v in %s", k, got[k], v, lines[i])
			}
		}
	}
}

func TestAllowFrom(t *testing.T) {
	for _, test := range []struct {
		kind   string
		s      *Server
		served bool
	}{
		{"tcp", &Server{AllowFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, true},
		{"tcp", &Server{AllowFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, false},
		{"tcp portable", &Server{AllowFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, false},
		{"unix", &Server{AllowFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, true},
		{"tcp", &Server{AllowUIDs: []int{-1}}, true},
		{"unix", &Server{AllowUIDs: []int{os.Getuid()}}, true},
		{"unix portable", &Server{AllowGIDs: []int{os.Getgid()}}, true},
		{"unix", &Server{AllowUIDs: []int{os.Getuid() + 1}, AllowGIDs: []int{os.Getgid() + 1}}, false},
		{"unix portable", &Server{AllowUIDs: []int{os.Getuid() + 1}}, false},
	} {
		if !socket.KnowsPeers && len(test.s.AllowUIDs)+len(test.s.AllowGIDs) > 0 {
			continue
		}
		l := listen(t, test.kind)
		log := start(t, test.s, l)
		for range 4 {
			c := dial(t, l.Addr())
			io.WriteString(c, get("/"))
			reply, _ := io.ReadAll(c)
			if (len(reply) > 0) != test.served {
				t.Errorf("%s, %+v: %q", test.kind, test.s.AllowFrom, reply)
			}
		}
		if st := test.s.Stats(); !test.served && (st.TurnedAway != 4 || strings.Count(log.String(), "\n") != 3) {
			t.Errorf("%d turned away, log %s", st.TurnedAway, log)
		}
	}
}

func TestStatsHandler(t *testing.T) {
	l := listen(t, "unix")
	s := &Server{}
	start(t, s, l)
	ask(t, l.Addr(), get("/"))
	ask(t, l.Addr(), encode("", "CONTENT_LENGTH", "0"))
	show := func(target, accept string) string {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Accept", accept)
		s.StatsHandler().ServeHTTP(w, r)
		return w.Body.String()
	}
	var st Stats
	if err := json.Unmarshal([]byte(show("/?format=json", "")), &st); err != nil || st.Refused[400] != 1 || st.Accepted != 2 {
		t.Errorf("%v, %+v", err, st)
	}
	for _, text := range []string{show("/?format=prometheus", ""), show("/", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")} {
		if !strings.Contains(text, "# TYPE scgi_connections_accepted_total counter\nscgi_connections_accepted_total 2\n") ||
			!strings.Contains(text, "scgi_requests_refused_total{status=\"400\"} 1\n") || strings.Count(text, "# TYPE scgi_requests_refused_total") != 1 {
			t.Errorf("for Prometheus: %s", text)
		}
	}
	if text := show("/", "*/*"); !strings.Contains(text, "connections_accepted_total") {
		t.Errorf("for a terminal: %s", text)
	}
	if page := show("/", "text/html"); !strings.Contains(page, "<svg") {
		t.Errorf("for a browser: %s", page)
	}
	if text := expvar.Func(func() any { return s.Stats() }).String(); !strings.Contains(text, `"Accepted":2`) {
		t.Errorf("expvar: %s", text)
	}
}

// The Accept fields are what Prometheus sends, by version and scrape_protocols.
func TestStatsHandlerKnowsPrometheus(t *testing.T) {
	const page, text, metrics = "text/html; charset=utf-8", "text/plain; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8"
	tests := []struct{ who, accept, want string }{
		{"Prometheus 1.8", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", metrics},
		{"Prometheus 2.0", "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", metrics},
		{"Prometheus 2.50", "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", metrics},
		{"Prometheus 3", "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", metrics},
		{"Prometheus 3, PrometheusText1.0.0", "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5", metrics},
		{"Prometheus 3, PrometheusText0.0.4", "text/plain;version=0.0.4;q=0.6,*/*;q=0.5", metrics},
		{"Prometheus 3, PrometheusProto", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,*/*;q=0.5", metrics},
		{"Firefox", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", page},
		{"Chrome", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7", page},
		{"curl", "*/*", text},
		{"lynx", "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01", page},
		{"nobody", "", text},
		{"a script", "application/json", "application/json"},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", test.accept)
		new(Server).StatsHandler().ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); got != test.want {
			t.Errorf("%s gets %q, want %q", test.who, got, test.want)
		}
	}
}

// At four times the load that the workers can carry, those that are served wait
// no longer than QueueTimeout, and the others are told within it.
func TestOverloadKeepsLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			workers  = 4
			work     = 100 * time.Millisecond
			patience = time.Second // QueueTimeout
			seconds  = 10
		)
		s := &Server{MaxWorkers: workers, QueueTimeout: patience, Logger: slog.New(slog.DiscardHandler),
			Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) { time.Sleep(work) })}
		dial := pipeServer(t, s)
		type outcome struct {
			status int
			took   time.Duration
		}
		const capacity = int(seconds * time.Second / work * workers)
		outcomes := make(chan outcome, 4*capacity)
		for range 4 * capacity {
			c, began := dial(), time.Now()
			go func() {
				r := parseReply(t, <-exchangeOn(c, get("/")))
				outcomes <- outcome{r.Status, time.Since(began)}
			}()
			time.Sleep(work / workers / 4)
		}
		served := 0
		for range 4 * capacity {
			o := <-outcomes
			switch {
			case o.status == 200 && o.took <= patience+work:
				served++
			case o.status == 503 && o.took <= patience:
			default:
				t.Errorf("%d after %v", o.status, o.took)
			}
		}
		if served < capacity {
			t.Errorf("%d were served, the workers can do %d", served, capacity)
		}
	})
}

func BenchmarkAccessLog(b *testing.B) {
	x, _ := newRecorded(header{})
	x.reply.Write([]byte("page"))
	_ = x.reply.finish()
	s := &Server{AccessLog: slog.New(slog.NewJSONHandler(io.Discard, nil))}
	x.conn.srv = s
	b.ReportAllocs()
	for b.Loop() {
		x.account(true)
	}
}

// The page shows the requests that run longest, whatever a handler does to its
// Request, and none that has ended.
func TestStatsHandlerShowsRequestsUnderWay(t *testing.T) {
	const many = status.MaxRequests + 4
	began, release := make(chan bool), make(chan bool)
	s := &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
		uri := r.Env.Get("REQUEST_URI")
		r.Env = Env{}
		if uri != "/quick" {
			began <- true
			<-release
		}
	})}
	l := listen(t, "unix")
	start(t, s, l)
	page := s.StatsHandler()
	open := func() net.Conn {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	send := func(c net.Conn, request string) {
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
	}
	lingering := open() // it keeps its side open, as its body is not read
	send(lingering, encode("", "CONTENT_LENGTH", "9", "SCGI", "1", "REQUEST_METHOD", "POST", "REQUEST_URI", "/quick"))
	_, _ = io.Copy(io.Discard, lingering)
	clients := make([]net.Conn, many) // the last one begins first
	for i := range clients {
		clients[many-1-i] = open()
	}
	for i, c := range clients {
		send(c, get(fmt.Sprint("/", i)))
		<-began
	}
	requests := func() []status.Request {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest("GET", "/?format=json", nil))
		var shown struct{ Processes []status.Process[Stats] }
		if err := json.Unmarshal(w.Body.Bytes(), &shown); err != nil || len(shown.Processes) != 1 || shown.Processes[0].Pid != os.Getpid() {
			t.Fatal(err, w.Body)
		}
		return shown.Processes[0].Requests
	}
	rs := requests()
	if len(rs) != status.MaxRequests {
		t.Fatalf("%d requests are shown", len(rs))
	}
	for i, r := range rs {
		if r.Method != "GET" || r.URI != fmt.Sprint("/", i) || r.Running <= 0 || i > 0 && r.Running > rs[i-1].Running {
			t.Errorf("%d: %+v", i, r)
		}
	}
	close(release)
	for _, c := range clients {
		_, _ = io.Copy(io.Discard, c)
	}
	if rs := requests(); len(rs) != 0 {
		t.Errorf("%+v have ended", rs)
	}
}
