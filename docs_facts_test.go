//go:build unix

package scgi_test

// docs_facts_test.go holds what the documents state to the code: limits, numbers, names,
// log lines and the results on the page of the vectors.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/scgi"
	"example.com/scgi/gateway"
	"example.com/scgi/internal/scgitest"
)

// The tables list every number of Server, with its default if it has one.
func TestDocsLimits(t *testing.T) {
	limits := readFile(t, "docs/limits.md")
	for _, row := range []string{
		fmt.Sprintf("| `MaxWorkers` | %d |", scgi.DefaultMaxWorkers),
		fmt.Sprintf("| `MaxConns` | %d |", scgi.DefaultMaxConns),
		fmt.Sprintf("| `MaxHeaderBytes` | %d KiB |", scgi.DefaultMaxHeaderBytes>>10),
		fmt.Sprintf("| `MaxBodyBytes` | %d GiB |", scgi.DefaultMaxBodyBytes>>30),
		fmt.Sprintf("| `ReadHeaderTimeout` | %.0f s |", scgi.DefaultReadHeaderTimeout.Seconds()),
		fmt.Sprintf("| `ReadTimeout` | %.0f s |", scgi.DefaultReadTimeout.Seconds()),
	} {
		if !strings.Contains(limits, row) {
			t.Errorf("no row %q", row)
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[scgi.Server]()) {
		isNumber := f.Type.Kind() == reflect.Int || f.Type.Kind() == reflect.Int64
		if f.IsExported() && isNumber && !strings.Contains(limits, "\n| `"+f.Name+"` |") {
			t.Errorf("no row for %s", f.Name)
		}
	}
}

// Every name in the table of numbers is a field of Stats, a metric or a field of Server.
func TestDocsNumbers(t *testing.T) {
	page := httptest.NewRecorder()
	new(scgi.Server).StatsHandler().ServeHTTP(page, httptest.NewRequest("GET", "/?format=prometheus", nil))
	table, _, _ := strings.Cut(readFile(t, "docs/operations.md"), "\n\nThe server itself answers")
	rows := regexp.MustCompile(`(?m)^\| [a-z].*\|$`).FindAllString(table, -1)
	if len(rows) < 2 {
		t.Fatalf("no rows in %s", table)
	}
	for _, row := range rows[1:] {
		cells := strings.Split(row, " | ")
		for i, typ := range map[int]reflect.Type{1: reflect.TypeFor[scgi.Stats](), 3: reflect.TypeFor[scgi.Server]()} {
			for _, name := range regexp.MustCompile("`([A-Z]\\w*)").FindAllStringSubmatch(cells[i], -1) {
				if _, ok := typ.FieldByName(name[1]); !ok {
					t.Errorf("%v has no %s", typ, name[1])
				}
			}
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[2], -1) {
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name[1]) + `[ {]`).MatchString(page.Body.String()) {
				t.Errorf("there is no metric %s", name[1])
			}
		}
	}
}

// The pages state the right number of vectors.
func TestDocsVectors(t *testing.T) {
	requests, replies := len(scgitest.Vectors(t)), len(scgitest.Replies(t))
	for page, claims := range map[string][]string{
		"testdata/vectors/README.md": {
			fmt.Sprint(requests, " requests,"), fmt.Sprint("of ", 2*requests, " (each request"), fmt.Sprintf("| this library | %d | 0 | 0 |", 2*requests),
			fmt.Sprint(replies, " replies,"), fmt.Sprint("of ", 2*replies, " (each reply"), fmt.Sprintf("| this library's gateway | %d | 0 | 0 |", 2*replies),
		},
		"docs/reliability.md": {fmt.Sprint("example and ", requests-1, " more"), fmt.Sprint("reads ", replies, ",")},
	} {
		for _, claim := range claims {
			if !strings.Contains(readFile(t, page), claim) {
				t.Errorf("%s does not say %q", page, claim)
			}
		}
	}
}

// The log lines that the pages list exist in the code.
func TestDocsLogLines(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, name := range files {
		if !strings.HasSuffix(name, "_test.go") {
			code.WriteString(readFile(t, name))
		}
	}
	page := readFile(t, "docs/operations.md")
	lines := regexp.MustCompile("`scgi: ([^`]+)`").FindAllStringSubmatch(page, -1)
	_, refusals, _ := strings.Cut(page, "## 400 and 413\n")
	refusals, _, _ = strings.Cut(refusals, "\n## ")
	reasons := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(refusals, -1)
	if len(lines) == 0 || len(reasons) == 0 {
		t.Fatal("no log lines found")
	}
	for _, line := range lines {
		if !strings.Contains(code.String(), `"scgi: `+line[1]) && !strings.Contains(code.String(), `"`+line[1]) {
			t.Errorf("nothing logs %q", line[1])
		}
	}
	for _, reason := range reasons {
		if !strings.Contains(code.String(), reason[1]) {
			t.Errorf("nothing is refused with %q", reason[1])
		}
	}
}

// An access log record has the fields that the README names.
func TestDocsAccessLog(t *testing.T) {
	var record bytes.Buffer
	srv := &scgi.Server{AccessLog: slog.New(slog.NewJSONHandler(&record, nil))}
	l, err := scgi.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	client := &http.Client{Transport: &gateway.Transport{Addr: l.Addr().String()}, Timeout: docsTimeout}
	resp, err := client.Get("http://example.org/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), docsTimeout)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]any)
	if err := json.Unmarshal(record.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(readFile(t, "docs/operations.md"), "`AccessLog` gets")
	for name := range fields {
		if !slices.Contains([]string{"time", "level", "msg"}, name) && !strings.Contains(text, "`"+name+"`") {
			t.Errorf("the field %s is not in %s", name, text)
		}
	}
}
