package scgi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/socket"
)

// logLines parses the records that a slog.JSONHandler has written.
func logLines(t *testing.T, log *syncBuffer) (records []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		records = append(records, r)
	}
	return records
}

func TestAllowFrom(t *testing.T) {
	for _, test := range []struct {
		kind   string
		s      *scgi.Server
		served bool
	}{
		{"tcp", &scgi.Server{AllowFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, true},
		{"tcp", &scgi.Server{AllowFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, false},
		{"tcp portable", &scgi.Server{AllowFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, false},
		{"unix", &scgi.Server{AllowFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, true},
		{"tcp", &scgi.Server{AllowUIDs: []int{-1}}, true},
		{"unix", &scgi.Server{AllowUIDs: []int{os.Getuid()}}, true},
		{"unix portable", &scgi.Server{AllowGIDs: []int{os.Getgid()}}, true},
		{"unix", &scgi.Server{AllowUIDs: []int{os.Getuid() + 1}, AllowGIDs: []int{os.Getgid() + 1}}, false},
		{"unix portable", &scgi.Server{AllowUIDs: []int{os.Getuid() + 1}}, false},
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
			t.Errorf("%d were turned away, log %s", st.TurnedAway, log)
		}
		who := "peer=127.0.0.1:"
		if strings.HasPrefix(test.kind, "unix") {
			who = fmt.Sprintf("uid=%d gid=%d", os.Getuid(), os.Getgid())
		}
		if !test.served && !strings.Contains(log.String(), who) {
			t.Errorf("%s: no %s in %s", test.kind, who, log)
		}
	}
}

func TestSilentConnectionsHoldNoWorker(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		leakCheck(t)
		s := &scgi.Server{MaxWorkers: 4}
		start(t, s, l)
		var silent []net.Conn
		for i := range 1000 {
			c := dial(t, l.Addr())
			if i%2 == 0 {
				io.WriteString(c, "70:CONTENT_LENGTH")
			}
			silent = append(silent, c)
		}
		for range 20 {
			if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
				t.Errorf("%+v", r)
			}
		}
		for _, c := range silent {
			c.Close()
		}
	})
}

func TestEmptyConnectionsAreOnlyCounted(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &scgi.Server{}
		log := start(t, s, l)
		for range 10 {
			c := dial(t, l.Addr())
			c.(interface{ CloseWrite() error }).CloseWrite()
			if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		}
		if st := s.Stats(); st.Empty != 10 || len(st.Refused) != 0 || log.String() != "" {
			t.Errorf("%+v, log %q", st, log)
		}
	})
}

func TestHeaderLimit(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		block := func(n int) string {
			return encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "X", strings.Repeat("y", n-len("CONTENT_LENGTH_0_SCGI_1_X__")))
		}
		start(t, &scgi.Server{MaxHeaderBytes: 100000}, l)
		if r := parseReply(t, ask(t, l.Addr(), block(100000))); r.Status != 200 {
			t.Errorf("at the limit: %d", r.Status)
		}
		if r := parseReply(t, ask(t, l.Addr(), block(100001))); r.Status != 431 {
			t.Errorf("over the limit: %d", r.Status)
		}
	})
}

func TestBodyLimit(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		log := start(t, &scgi.Server{MaxBodyBytes: 1000, Handler: echo}, l)
		if r := parseReply(t, ask(t, l.Addr(), post("/", strings.Repeat("x", 1000)))); r.Status != 200 || len(r.Body) != 1000 {
			t.Errorf("at the limit: %+v", r)
		}
		// The refusal arrives although the client is sending 20 MB.
		for range 3 {
			if r := parseReply(t, ask(t, l.Addr(), post("/", strings.Repeat("x", 20e6)))); r.Status != 413 {
				t.Errorf("over the limit: %+v", r)
			}
		}
		if !strings.Contains(log.String(), "413") {
			t.Errorf("the log says %q", log)
		}
	})
}

func TestHeaderTimeoutCoversWholeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scgi.Server{ReadHeaderTimeout: 10 * time.Second}
		dial := pipeServer(t, s)
		silent := dial()
		began := time.Now()
		if b, err := io.ReadAll(silent); len(b) != 0 || err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("a silent connection got %q, %v after %v", b, err, time.Since(began))
		}
		if n := s.Stats().Empty; n != 1 {
			t.Errorf("%d empty connections", n)
		}
		dripping := dial()
		began = time.Now()
		var peer sync.WaitGroup
		defer peer.Wait()
		peer.Go(func() {
			io.WriteString(dripping, "70:")
			for range 100 {
				time.Sleep(time.Second)
				if _, err := io.WriteString(dripping, "X"); err != nil {
					return
				}
			}
		})
		b, _ := io.ReadAll(dripping)
		dripping.Close()
		if r := parseReply(t, string(b)); r.Status != 408 || time.Since(began) > 10*time.Second+30*time.Second {
			t.Errorf("a slow connection got %d after %v", r.Status, time.Since(began))
		}
	})
}

func TestRefusalsGiveReason(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &scgi.Server{}
		log := start(t, s, l)
		raw := ask(t, l.Addr(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if !strings.HasPrefix(raw, "HTTP/1.1 400 ") || !strings.Contains(raw, "SCGI") {
			t.Errorf("HTTP is answered with %q", raw)
		}
		if raw := ask(t, l.Addr(), "\x16\x03\x01\x02\x00\x01\x00"); raw != "\x15\x03\x01\x00\x02\x02\x0a" { // an alert: fatal, unexpected message
			t.Errorf("TLS is answered with %q", raw)
		}
		r := parseReply(t, ask(t, l.Addr(), encode("", "CONTENT_LENGTH", "0")))
		if r.Status != 400 || !strings.Contains(r.Body, "include scgi_params") || strings.Count(r.Body, "\n") != 1 {
			t.Errorf("without SCGI: %+v", r)
		}
		if n := strings.Count(log.String(), "\n"); n != 3 || s.Stats().Refused[400] != 3 {
			t.Errorf("%d lines for %v refusals:\n%s", n, s.Stats().Refused, log)
		}
		if l.Addr().Network() == "tcp" && !strings.Contains(log.String(), "peer=127.0.0.1:") {
			t.Errorf("no peer in %s", log)
		}
	})
}

func TestRefusalNamesItsRequest(t *testing.T) {
	long := "/" + strings.Repeat("x", 1000)
	whose := []string{"REQUEST_METHOD", "PUT", "REQUEST_URI", "/a\nb", "REMOTE_ADDR", "203.0.113.9"}
	request := func(more ...string) string { return encode("", append(more, whose...)...) }
	for _, test := range []struct {
		name, input string
		status      float64
		uri         any
	}{
		{"no length", request("SCGI", "1"), 400, "/a\nb"},
		{"two lengths", request("CONTENT_LENGTH", "1", "CONTENT_LENGTH", "2", "SCGI", "1"), 400, "/a\nb"},
		{"no version", request("CONTENT_LENGTH", "0"), 400, "/a\nb"},
		{"long body", request("CONTENT_LENGTH", "11", "SCGI", "1"), 413, "/a\nb"},
		{"many variables", request(append([]string{"CONTENT_LENGTH", "0", "SCGI", "1"}, strings.Split(strings.Repeat("A,b,", 1000)+"A,b", ",")...)...), 431, "/a\nb"},
		{"long URI", encode("", "REQUEST_METHOD", "PUT", "REQUEST_URI", long, "REMOTE_ADDR", "203.0.113.9"), 400, long[:256] + "..."},
		{"odd header", encode("", "SCGI", "1", "REQUEST_URI"), 400, nil},
		{"no comma", "3:abcd", 400, nil},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", 400, nil},
	} {
		l, log := listen(t, "unix"), &syncBuffer{}
		start(t, &scgi.Server{MaxBodyBytes: 10, Logger: slog.New(slog.NewJSONHandler(log, nil))}, l)
		ask(t, l.Addr(), test.input)
		lines := logLines(t, log)
		if len(lines) != 1 || lines[0]["status"] != test.status || lines[0]["uri"] != test.uri {
			t.Errorf("%s: %v", test.name, lines)
			continue
		}
		want := map[string]any{"method": "PUT", "remote": "203.0.113.9"}
		if test.uri == nil {
			want = nil
		}
		for _, key := range []string{"method", "remote"} {
			if lines[0][key] != want[key] {
				t.Errorf("%s: %s is %v", test.name, key, lines[0][key])
			}
		}
	}
}

func TestBusyRefusalNamesItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &syncBuffer{}
		dial := pipeServer(t, &scgi.Server{MaxWorkers: 1, QueueTimeout: time.Second, Logger: slog.New(slog.NewJSONHandler(log, nil)),
			Handler: scgi.HandlerFunc(func(http.ResponseWriter, *scgi.Request) { time.Sleep(time.Minute) })})
		first, second := dial(), dial()
		go io.WriteString(first, get("/first"))
		synctest.Wait()
		if r := parseReply(t, <-exchangeOn(second, get("/second"))); r.Status != 503 {
			t.Errorf("%+v", r)
		}
		io.ReadAll(first)
		if lines := logLines(t, log); len(lines) != 1 || lines[0]["uri"] != "/second" {
			t.Errorf("%v", lines)
		}
	})
}
