package scgi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// panickingLog is a slog.Handler that panics: when it is asked whether a level
// is on, or later, when it gets the record.
type panickingLog struct{ enabled bool }

func (l panickingLog) Enabled(context.Context, slog.Level) bool {
	if !l.enabled {
		panic("in Enabled")
	}
	return true
}
func (l panickingLog) Handle(context.Context, slog.Record) error { panic("in Handle") }
func (l panickingLog) WithAttrs([]slog.Attr) slog.Handler        { return l }
func (l panickingLog) WithGroup(string) slog.Handler             { return l }

// Every line that the server logs of a request meets a slog.Handler that
// panics, and the client gets the answer it gets without.
func TestPanicInLoggerChangesNoReply(t *testing.T) {
	const minute = time.Minute
	rows := []struct {
		name, request string
		h             HandlerFunc
		status        int
	}{
		{"refused", "0:,", nil, 400},
		{"handler panic", get("/"), func(http.ResponseWriter, *Request) { panic("hostile") }, 500},
		{"abandoned", get("/"), func(http.ResponseWriter, *Request) { time.Sleep(2 * minute) }, 504},
		{"slow hook", get("/"), func(http.ResponseWriter, *Request) { time.Sleep(minute / 2) }, 200},
		{"superfluous status", get("/"), func(w http.ResponseWriter, r *Request) {
			w.WriteHeader(201)
			w.WriteHeader(500)
		}, 201},
		{"short reply", get("/"), func(w http.ResponseWriter, r *Request) { w.Header().Set("Content-Length", "1") }, 500},
		{"dropped fields", get("/"), func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Length", "x")
			w.Header()["not a token"] = []string{"x"}
		}, 200},
	}
	for _, row := range rows {
		for _, log := range []panickingLog{{false}, {true}} {
			t.Run(fmt.Sprintf("%s/%+v", row.name, log), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dial := pipeServer(t, &Server{
						Handler: row.h, Logger: slog.New(log), AccessLog: slog.New(log),
						RequestTimeout: minute, SlowTime: time.Second, OnSlow: func(SlowRequest) { panic("in the hook") },
					})
					c := dial()
					go io.WriteString(c, row.request)
					raw, _ := io.ReadAll(c)
					if r := parseReply(t, string(raw)); r.Status != row.status {
						t.Errorf("answered with %+v, want %d", r, row.status)
					}
					time.Sleep(3 * minute) // the abandoned handler ends
				})
			})
		}
	}
}
