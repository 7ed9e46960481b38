package scgi

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// logLines are the records that a slog.JSONHandler has written.
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
		{"many variables", request(append([]string{"CONTENT_LENGTH", "0", "SCGI", "1"}, strings.Split(strings.Repeat("A,b,", maxVariables)+"A,b", ",")...)...), 431, "/a\nb"},
		{"long URI", encode("", "REQUEST_METHOD", "PUT", "REQUEST_URI", long, "REMOTE_ADDR", "203.0.113.9"), 400, long[:256] + "..."},
		{"odd header", string(appendNetstring(nil, "SCGI\x001\x00REQUEST_URI\x00")), 400, nil},
		{"no comma", "3:abcd", 400, nil},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", 400, nil},
	} {
		l, log := listen(t, "unix"), &syncBuffer{}
		start(t, &Server{MaxBodyBytes: 10, Logger: slog.New(slog.NewJSONHandler(log, nil))}, l)
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
		dial := pipeServer(t, &Server{MaxWorkers: 1, QueueTimeout: time.Second, Logger: slog.New(slog.NewJSONHandler(log, nil)),
			Handler: HandlerFunc(func(http.ResponseWriter, *Request) { time.Sleep(time.Minute) })})
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
