package scgi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A request whose client has sent more than the web server passes on is served,
// with the client's length, at each level; only reading its body fails.
func TestBodyNotPassedOn(t *testing.T) {
	report := func(length int64, body io.Reader) string {
		n, err := body.Read(make([]byte, 100))
		return fmt.Sprint(length, n, errors.Is(err, errBodyNotPassed))
	}
	handlers := map[string]Handler{
		"native": HandlerFunc(func(w http.ResponseWriter, r *Request) { io.WriteString(w, report(r.ContentLength, r.Body)) }),
		"produce": ProduceFunc(func(_ Env, size int64, input io.Reader, output io.Writer) {
			io.WriteString(output, "Status: 200 OK\r\n\r\n"+report(size, input))
		}),
		"http": HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Body == http.NoBody || r.Header.Get("Content-Length") != "11" || r.Method != "POST" {
				t.Errorf("%+v", r)
			}
			io.WriteString(w, report(r.ContentLength, r.Body))
			if err := r.ParseForm(); !errors.Is(err, errBodyNotPassed) {
				t.Errorf("ParseForm: %v", err)
			}
		})),
	}
	for level, h := range handlers {
		for passed, body := range map[string]string{"0": "", "4": "a=b&", "5": "a=b&c=defgh"} {
			l := listen(t, "unix")
			log := start(t, &Server{Handler: h, MaxBodyBytes: 10}, l)
			request := encode(body, "CONTENT_LENGTH", passed, "SCGI", "1", "REQUEST_METHOD", "POST", "HTTP_CONTENT_LENGTH", "11",
				"CONTENT_TYPE", "application/x-www-form-urlencoded")
			if r := parseReply(t, ask(t, l.Addr(), request)); r.Status != 200 || r.Body != "11 0 true" {
				t.Errorf("%s, %s passed on: %+v", level, passed, r)
			}
			if log.String() != "" {
				t.Errorf("the log says %s", log)
			}
		}
	}
}

// A body that never comes holds no worker of a handler that does not read it:
// nginx from 1.29.6 on announces the client's for auth_request, and sends none.
func TestBodyThatNeverComesHoldsNoWorker(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &Server{MaxWorkers: 1, Handler: HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		}))}, l)
		request := post("/auth", strings.Repeat("x", 100000))
		for range 5 { // they stay open
			c := dial(t, l.Addr())
			io.WriteString(c, request[:len(request)-100000])
			if raw, err := io.ReadAll(c); err != nil || parseReply(t, string(raw)).Status != 204 {
				t.Errorf("%q, %v", raw, err)
			}
		}
	})
}
