package status

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
)

// counts are the counters of a process in these tests.
type counts struct{ Busy, MostBusy, OK, Failed int64 }

func (c *counts) table() []Metric {
	return []Metric{
		{"workers_busy", "", &c.Busy, "workers that run a handler"},
		{"workers_busy_max", "", &c.MostBusy, "the most of them"},
		{"requests_served_total", `class="2xx"`, &c.OK, "requests"},
		{"requests_served_total", `class="5xx"`, &c.Failed, "requests"},
	}
}

func (c *counts) add(more *counts, ended bool) { Merge(c.table(), more.table(), ended) }

// newHandler returns a Handler that shows the processes in their state at each request.
func newHandler(ps *[]Process[counts]) *Handler[counts] {
	one := &Handler[counts]{Table: (*counts).table, Add: (*counts).add}
	h := one.Of(nil)
	h.Take = func() (snap Snapshot[counts]) {
		for i := range *ps {
			h.Add(&snap.Total, &(*ps)[i].Stats, false)
		}
		snap.Processes = *ps
		return snap
	}
	return h
}

func twoProcesses() []Process[counts] {
	return []Process[counts]{
		{Pid: 101, State: "serving", Age: 4000, Memory: 50 << 20, Stats: counts{2, 4, 1000, 10}, Requests: []Request{
			NewRequest("GET", "/slow?x=1", 90*time.Second), NewRequest("POST", "/quick", time.Second/2),
		}},
		{Pid: 102, State: "hung", Age: 3, Memory: 8 << 20, Stats: counts{1, 1, 5, 0}},
	}
}

func show(h http.Handler, target, accept string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", target, nil)
	r.Header.Set("Accept", accept)
	h.ServeHTTP(w, r)
	return w
}

func TestMergeKeepsEventsOfEndedProcesses(t *testing.T) {
	var sum counts
	sum.add(&counts{Busy: 3, MostBusy: 9, OK: 10, Failed: 1}, true)
	sum.add(&counts{Busy: 2, MostBusy: 4, OK: 5}, false)
	sum.add(&counts{Busy: 1, MostBusy: 6, OK: 1}, false)
	if want := (counts{Busy: 3, MostBusy: 9, OK: 16, Failed: 1}); sum != want {
		t.Errorf("%+v, want %+v", sum, want)
	}
}

func TestPageShowsSumsAndProcesses(t *testing.T) {
	ps := twoProcesses()
	h := newHandler(&ps)
	page := show(h, "/", "text/html").Body.String()
	for name, want := range map[string]string{"processes": "2", "workers busy": "3", "requests served": "1015"} {
		if !strings.Contains(page, "<dt>"+name+"</dt> <dd>"+want+"</dd>") {
			t.Errorf("%s: not %s", name, want)
		}
	}
	rows := cells(page)
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	want := []string{"101", "serving", "1\u00a0h\u00a06\u00a0min", "1010", "2", "50\u00a0MiB", "GET /slow?x=1 (1 min 30 s)<br>POST /quick (0.5 s)"}
	if fmt.Sprint(rows[0]) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", rows[0], want)
	}
	if rows[1][1] != "hung" || rows[1][6] != "" {
		t.Errorf("%q", rows[1])
	}
}

// cells returns the cells of the table of processes.
func cells(page string) (rows [][]string) {
	_, table, _ := strings.Cut(page, `<table class="processes">`)
	table, _, _ = strings.Cut(table, "</table>")
	for _, tr := range regexp.MustCompile(`(?s)<tr class.*?</tr>`).FindAllString(table, -1) {
		var row []string
		for _, td := range regexp.MustCompile(`(?s)<td>(.*?)</td>`).FindAllStringSubmatch(tr, -1) {
			row = append(row, td[1])
		}
		rows = append(rows, row)
	}
	return rows
}

// A hostile URI adds no markup, moves no terminal cursor, and does not make the page big.
func TestHostileRequestsAreShownAsText(t *testing.T) {
	uris := []string{
		`/<script>alert(1)</script>`, `/"><img src=x onerror=alert(1)>`, "/'&amp;</td></table>", "/\x1b[2J\r\n\x00\x7f",
		"/\u202egnp.exe", "/\xff\xfe", "/" + strings.Repeat("<", 1<<20),
	}
	for _, uri := range uris {
		ps := []Process[counts]{{Pid: 1, State: `"><script>`, Requests: []Request{{Method: uri, URI: uri}}}}
		h := newHandler(&ps)
		page := show(h, "/", "text/html").Body.String()
		if n := strings.Count(page, "<script"); n != 1 {
			t.Errorf("%.50q: %d scripts", uri, n)
		}
		if strings.Contains(page, "<img") || strings.Count(page, "</table>") != 2 || len(cells(page)) != 1 {
			t.Errorf("%.50q became markup in %s", uri, page)
		}
		text := show(h, "/", "*/*").Body.String()
		for _, form := range []string{page, text} {
			if i := strings.IndexFunc(form, func(r rune) bool {
				return r != '\n' && r != '\u00a0' && !unicode.IsPrint(r) || r == unicode.ReplacementChar
			}); i >= 0 {
				t.Errorf("%.50q: %q at %d", uri, form[i:min(len(form), i+10)], i)
			}
			if len(form) > 16<<10 {
				t.Errorf("%.50q: %d bytes", uri, len(form))
			}
		}
	}
}

func TestPageIsSelfContained(t *testing.T) {
	ps := twoProcesses()
	w := show(newHandler(&ps), "/", "text/html")
	page := w.Body.String()
	if found := regexp.MustCompile(`(?i)(https?:|src=|@import|url\()`).FindAllString(page, -1); found != nil {
		t.Errorf("the page loads something: %q", found)
	}
	if !strings.Contains(page, `<noscript><meta http-equiv="refresh"`) {
		t.Error("without a script the page does not reload")
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %q", got)
	}
	if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy: %q", policy)
	}
}

func TestOnlyGetAndHead(t *testing.T) {
	h := newHandler(new([]Process[counts]))
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
		if w.Code != want || want == 405 && w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestJSON(t *testing.T) {
	ps := twoProcesses()
	var got struct {
		counts
		Processes []Process[counts]
	}
	if err := json.Unmarshal(show(newHandler(&ps), "/?format=json", "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.OK != 1005 || got.Busy != 3 || fmt.Sprint(got.Processes) != fmt.Sprint(ps) {
		t.Errorf("%+v", got)
	}
}

func TestPrometheusLabelsProcesses(t *testing.T) {
	ps := twoProcesses()
	text := show(newHandler(&ps), "/?format=prometheus", "").Body.String()
	types, last := make(map[string]string), ""
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if f[0] != "#" {
			name, _, _ := strings.Cut(f[0], "{")
			if name != last {
				t.Errorf("%s is not below its type, but below that of %s", name, last)
			}
			values[f[0]] = f[1]
		} else if f[1] == "TYPE" {
			if last = f[2]; types[last] != "" {
				t.Errorf("%s has two types", last)
			}
			types[last] = f[3]
		}
	}
	for series, want := range map[string]string{
		`scgi_workers_busy{pid="101"}`: "2", `scgi_workers_busy{pid="102"}`: "1",
		`scgi_requests_served_total{pid="101",class="2xx"}`: "1000",
		`scgi_requests_served_total{pid="101",class="5xx"}`: "10",
		`scgi_process_resident_bytes{pid="102"}`:            strconv.Itoa(8 << 20),
		`scgi_process_age_seconds{pid="102"}`:               "3.000",
		`scgi_processes`:                                    "2",
	} {
		if values[series] != want {
			t.Errorf("%s is %q, want %s", series, values[series], want)
		}
	}
	if types["scgi_requests_served_total"] != "counter" || types["scgi_workers_busy_max"] != "gauge" {
		t.Errorf("%v", types)
	}
}

// The page draws each second of the last 5 minutes and nothing older.
func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ps := twoProcesses()
		h := newHandler(&ps)
		for range 20 * 60 {
			ps[0].Stats.OK += 7
			h.Record(h.Take())
			h.Record(h.Take()) // dropped: too soon
			time.Sleep(time.Second)
		}
		if n := len(h.history.samples); n != maxSamples {
			t.Errorf("%d samples are kept", n)
		}
		samples := h.history.since(time.Now())
		for _, q := range rates(samples, time.Now()) {
			if q.value != 7 {
				t.Fatalf("%v requests a second", q)
			}
		}
		if got := rateNow(samples); got != 7 {
			t.Errorf("%v requests a second now", got)
		}
		time.Sleep(historyTime)
		if left := h.history.since(time.Now()); len(left) > 1 {
			t.Errorf("%d samples are older than the time shown", len(left))
		}
	})
}

// Whatever values a process reports, its chart stays inside the canvas.
func TestChartsStayInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ps := []Process[counts]{{Pid: 1}}
		h := newHandler(&ps)
		for _, n := range []int64{0, 5, math.MaxInt64, math.MinInt64, -1, 3} {
			ps[0].Stats = counts{Busy: n, OK: n}
			ps[0].Memory = n
			h.Record(h.Take())
			time.Sleep(time.Second)
		}
		page := show(h, "/", "text/html").Body.String()
		lines := regexp.MustCompile(`<polyline points="([^"]*)"`).FindAllStringSubmatch(page, -1)
		if len(lines) != 4 {
			t.Fatalf("%d charts", len(lines))
		}
		for _, line := range lines {
			for pair := range strings.FieldsSeq(line[1]) {
				var x, y float64
				if _, err := fmt.Sscanf(pair, "%f,%f", &x, &y); err != nil || x < 0 || x > float64(chartWidth) || y < 0 || y > float64(chartHeight) {
					t.Errorf("a point at %s: %v", pair, err)
				}
			}
		}
	})
}

func TestDurationsAndBytesInWords(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0.0 s", 9.96: "10.0 s", 59.9: "59 s", 60: "1 min 0 s", 3700: "1 h 1 min", 90000: "1 d 1 h"} {
		if got := duration(seconds); got != want {
			t.Errorf("%v s: %q, want %q", seconds, got, want)
		}
	}
	for bytes, want := range map[int64]string{0: "?", 1 << 19: "0.5 MiB", 300 << 20: "300 MiB", 20 << 30: "20 GiB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d bytes: %q, want %q", bytes, got, want)
		}
	}
}
