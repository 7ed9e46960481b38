package scgi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi"
)

func TestAccessLog(t *testing.T) {
	var access syncBuffer
	l := listen(t, "unix")
	s := &scgi.Server{AccessLog: slog.New(slog.NewJSONHandler(&access, nil)), Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
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

func TestOnSlow(t *testing.T) {
	hold := make(chan bool)
	told := make(chan scgi.SlowRequest)
	l := listen(t, "unix")
	s := &scgi.Server{SlowTime: time.Millisecond, OnSlow: func(r scgi.SlowRequest) { told <- r; panic("in the hook") }, Handler: scgi.HandlerFunc(slowHandler(hold))}
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

func slowHandler(hold chan bool) scgi.HandlerFunc {
	return func(w http.ResponseWriter, r *scgi.Request) { <-hold }
}

func TestPanicStormEndsServe(t *testing.T) {
	mine := errors.New("mine")
	for _, test := range []struct {
		hook func() error
		want error
	}{{nil, scgi.ErrPanics}, {func() error { return mine }, mine}} {
		l := listen(t, "unix")
		s := &scgi.Server{MaxPanics: 3, OnPanics: test.hook, Logger: slog.New(slog.DiscardHandler), Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) { panic("again") })}
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
		storms := 0
		dial := pipeServer(t, &scgi.Server{
			Handler: scgi.HandlerFunc(func(http.ResponseWriter, *scgi.Request) { panic("again") }), Logger: slog.New(slog.DiscardHandler),
			MaxPanics: 3, OnPanics: func() error { storms++; return nil },
		})
		for _, test := range []struct {
			panics, storms int
			every          time.Duration
		}{{100, 0, 21 * time.Second}, {8, 2, 0}} {
			for range test.panics {
				<-exchangeOn(dial(), get("/"))
				synctest.Wait()
				time.Sleep(test.every)
			}
			if storms != test.storms {
				t.Errorf("%d panics, one every %v: %d storms", test.panics, test.every, storms)
			}
		}
	})
}

// panickingLog is a slog.Handler that panics either in Enabled or in Handle.
type panickingLog struct{ enabled bool }

func (l panickingLog) Enabled(context.Context, slog.Level) bool {
	if !l.enabled {
		panic("in Enabled")
	}
	return true
}

func (l panickingLog) Handle(context.Context, slog.Record) error { panic("in Handle") }

func (l panickingLog) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l panickingLog) WithGroup(string) slog.Handler { return l }

// Each line that the server logs about a request goes to a slog.Handler that panics. The
// client gets the same answer as without the panic.
func TestPanicInLoggerChangesNoReply(t *testing.T) {
	const minute = time.Minute
	rows := []struct {
		name, request string
		h             scgi.HandlerFunc
		status        int
	}{
		{"refused", "0:,", nil, 400},
		{"handler panic", get("/"), func(http.ResponseWriter, *scgi.Request) { panic("hostile") }, 500},
		{"abandoned", get("/"), func(http.ResponseWriter, *scgi.Request) { time.Sleep(2 * minute) }, 504},
		{"slow hook", get("/"), func(http.ResponseWriter, *scgi.Request) { time.Sleep(minute / 2) }, 200},
		{"superfluous status", get("/"), func(w http.ResponseWriter, r *scgi.Request) {
			w.WriteHeader(201)
			w.WriteHeader(500)
		}, 201},
		{"short reply", get("/"), func(w http.ResponseWriter, r *scgi.Request) { w.Header().Set("Content-Length", "1") }, 500},
		{"dropped fields", get("/"), func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Length", "x")
			w.Header()["not a token"] = []string{"x"}
		}, 200},
	}
	for _, row := range rows {
		for _, log := range []panickingLog{{false}, {true}} {
			t.Run(fmt.Sprintf("%s/%+v", row.name, log), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dial := pipeServer(t, &scgi.Server{
						Handler: row.h, Logger: slog.New(log), AccessLog: slog.New(log),
						RequestTimeout: minute, SlowTime: time.Second, OnSlow: func(scgi.SlowRequest) { panic("in the hook") },
					})
					c := dial()
					go io.WriteString(c, row.request)
					raw, _ := io.ReadAll(c)
					if r := parseReply(t, string(raw)); r.Status != row.status {
						t.Errorf("answered with %+v, want %d", r, row.status)
					}
					time.Sleep(3 * minute) // lets the abandoned handler end
				})
			})
		}
	}
}
