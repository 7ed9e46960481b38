package prefork

// self_test.go tests the reports that a child sends to its parent.

import (
	"io"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/scgitest"
)

// A young child reports at once that it has served a request: if it dies later, it did not
// die at its start.
func TestFirstServedIsReportedAtOnce(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	synctest.Test(t, func(t *testing.T) {
		srv := &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, _ *scgi.Request) { _, _ = io.WriteString(w, "ok") })}
		l := scgitest.NewPipeListener()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		c := newSelf(&service{settings: &settings{Program: Program{Server: srv}}}, &link{reports: w})
		c.report()
		c.tick = time.NewTimer(c.interval)
		over := make(chan struct{})
		go func() {
			for {
				select {
				case <-c.tick.C:
					c.beat()
				case <-over:
					return
				}
			}
		}()
		time.Sleep(3*reportInterval + reportInterval/2)
		<-scgitest.Exchange(l.Dial(), scgitest.Get("/"))
		time.Sleep(lookInterval)
		synctest.Wait()
		close(over)
		_ = srv.Close()
		<-served
	})
	w.Close()
	var reports []report
	readReports(r, func(rep report) { reports = append(reports, rep) })
	if n := len(reports); n == 0 || reports[n-1].Stats.Served != 1 {
		t.Errorf("%d reports: %+v", n, reports)
	}
}
