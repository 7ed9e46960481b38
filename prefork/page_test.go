//go:build unix

package prefork

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/status"
)

// Closing the page on purpose is not an error.
func TestPageCloses(t *testing.T) {
	for range 100 {
		var log bytes.Buffer
		s := &settings{Program: Program{Server: new(scgi.Server), StatusAddr: "127.0.0.1:0"}, log: slog.New(slog.NewTextHandler(&log, nil))}
		g, err := openPage(s)
		if err != nil {
			t.Fatal(err)
		}
		g.start(s.numbers(), s.log)
		g.close()
		if strings.Contains(log.String(), "level=ERROR") {
			t.Fatalf("the log is %s", &log)
		}
	}
}

// shownPage is the page in its JSON form.
type shownPage struct {
	scgi.Stats
	Processes []status.Process[scgi.Stats]
}

func (s *shownPage) process(pid int) *status.Process[scgi.Stats] {
	i := slices.IndexFunc(s.Processes, func(p status.Process[scgi.Stats]) bool { return p.Pid == pid })
	if i < 0 {
		return nil
	}
	return &s.Processes[i]
}

// runWithPage starts r with a status page, and returns a function that requests the page.
func runWithPage(t *testing.T, r role) (a *app, ask func(format string) []byte) {
	t.Helper()
	path := filepath.Join(tempDir(t), "status")
	r.StatusAddr = "unix:" + path
	a = run(t, r)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	t.Cleanup(client.CloseIdleConnections)
	return a, func(format string) []byte {
		t.Helper()
		resp, err := client.Get("http://status/?format=" + format)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", resp.Status, err)
		}
		return body
	}
}

// awaitPage polls until found accepts the page.
func awaitPage(t *testing.T, ask func(string) []byte, found func(*shownPage) bool) *shownPage {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		page, text := new(shownPage), ask("json")
		if err := json.Unmarshal(text, page); err != nil {
			t.Fatal(err)
		}
		if found(page) {
			return page
		}
		if time.Now().After(end) {
			t.Fatalf("%s", text)
		}
	}
}

func TestPageShowsChildren(t *testing.T) {
	a, ask := runWithPage(t, role{MaxProcesses: 2, MinProcesses: 2, MaxWorkers: 2})
	busy, answered := a.held()
	page := awaitPage(t, ask, func(s *shownPage) bool {
		return len(s.Processes) == 2 && s.process(busy) != nil && len(s.process(busy).Requests) == 1
	})
	p := page.process(busy)
	if r := p.Requests[0]; r.Method != "GET" || r.URI != "/hold" || r.Running <= 0 {
		t.Errorf("the running requests are %+v", r)
	}
	if p.State != "serving" || p.Age <= 0 || p.Memory < 1<<20 || p.Stats.Busy != 1 || page.Busy != 1 {
		t.Errorf("%+v", page)
	}
	if text := ask("prometheus"); !bytes.Contains(text, fmt.Appendf(nil, "\nscgi_workers_busy{pid=\"%d\"} 1\n", busy)) {
		t.Errorf("for Prometheus: %s", text)
	}
	if html := ask("html"); !bytes.Contains(html, []byte("GET /hold")) {
		t.Errorf("for a browser: %s", html)
	}
	a.release(busy)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	awaitPage(t, ask, func(s *shownPage) bool { return s.Served == 1 && len(s.process(busy).Requests) == 0 })

	signalTo(t, busy, syscall.SIGKILL)
	page = awaitPage(t, ask, func(s *shownPage) bool { return s.process(busy) == nil && len(s.Processes) == 2 })
	if page.Served != 1 {
		t.Errorf("after the child that served it died, the page shows %d requests, want 1", page.Served)
	}
	a.end()
}

// A program without children shows itself. Its metrics have the same labels as those of
// StatsHandler.
func TestPageOfOneProcess(t *testing.T) {
	a, ask := runWithPage(t, role{})
	pid, answered := a.held()
	page := awaitPage(t, ask, func(s *shownPage) bool { return s.Busy == 1 })
	if len(page.Processes) != 1 || page.process(pid) == nil || len(page.process(pid).Requests) != 1 {
		t.Errorf("%+v", page)
	}
	if text := ask("prometheus"); !bytes.Contains(text, []byte("\nscgi_workers_busy 1\n")) {
		t.Errorf("for Prometheus: %s", text)
	}
	a.release(pid)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	a.end()
}

// The page shows that a child hangs while it hangs.
func TestPageShowsHungChild(t *testing.T) {
	a, ask := runWithPage(t, role{MaxProcesses: 1, HangTimeout: time.Second})
	pid := a.pid("/")
	signalTo(t, pid, syscall.SIGSTOP)
	awaitPage(t, ask, func(s *shownPage) bool { p := s.process(pid); return p != nil && p.State == "hung" })
	signalTo(t, pid, syscall.SIGKILL)
	awaitPage(t, ask, func(s *shownPage) bool {
		return len(s.Processes) == 1 && s.process(pid) == nil && s.Processes[0].State == "serving"
	})
	a.end()
}

// If the status address is taken, the program ends before it starts a child. A program that
// ends removes its socket's file.
func TestTakenStatusAddrEndsProgram(t *testing.T) {
	path := filepath.Join(tempDir(t), "status")
	taken := "unix:" + path
	a := run(t, role{MaxProcesses: 1, StatusAddr: taken})
	second := launch(t, role{MaxProcesses: 1, StatusAddr: taken}, nil)
	if second.wait() == nil {
		t.Error("a second program serves the address")
	}
	second.await("no child", func() bool {
		return !slices.ContainsFunc(second.log, func(r map[string]any) bool { return r["msg"] == "prefork: child is serving" })
	})
	a.end()
	if exists(path) {
		t.Error("the socket's file is left")
	}
}

// A report with the most requests, each of the bytes that JSON makes longest, fits on one
// line.
func TestLongestReportFits(t *testing.T) {
	hostile := strings.Repeat("\xff", 1<<16)
	r := report{Stats: scgi.Stats{Served: 1}}
	for range status.MaxRequests {
		r.Requests = append(r.Requests, status.NewRequest(hostile, hostile, time.Hour))
	}
	var got []report
	readReports(bytes.NewReader(r.line()), func(r report) { got = append(got, r) })
	if len(got) != 1 || got[0].Stats.Served != 1 || len(got[0].Requests) != status.MaxRequests {
		t.Errorf("%d reports: %.500v", len(got), got)
	}
}
