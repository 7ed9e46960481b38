package scgi_test

import (
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/status"
)

func TestStatsHandler(t *testing.T) {
	l := listen(t, "unix")
	s := &scgi.Server{}
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
	var st scgi.Stats
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

// Each Accept field is one that Prometheus sends, for a version and a scrape_protocols
// setting.
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
		new(scgi.Server).StatsHandler().ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); got != test.want {
			t.Errorf("%s gets %q, want %q", test.who, got, test.want)
		}
	}
}

// The page shows the longest-running requests, even if a handler changes its Request, and
// none that has ended.
func TestStatsHandlerShowsRequestsUnderWay(t *testing.T) {
	const many = status.MaxRequests + 4
	began, release := make(chan bool), make(chan bool)
	s := &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		uri := r.Env.Get("REQUEST_URI")
		r.Env = scgi.Env{}
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
	lingering := open() // this client keeps its side open, since its body is not read
	send(lingering, encode("", "CONTENT_LENGTH", "9", "SCGI", "1", "REQUEST_METHOD", "POST", "REQUEST_URI", "/quick"))
	_, _ = io.Copy(io.Discard, lingering)
	clients := make([]net.Conn, many) // the last one starts first
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
		var shown struct{ Processes []status.Process[scgi.Stats] }
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
		t.Errorf("ended requests are shown: %+v", rs)
	}
}
