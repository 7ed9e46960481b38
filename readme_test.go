//go:build unix

package scgi_test

// readme_test.go holds the README to its word: its programs compile, its
// commands run, and its stanzas, names and numbers are those of the tests and
// the code. Rule: a block of a kind that is not known here is a failure.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/gateway"
)

const readmeTimeout = 2 * time.Minute

// block is a fenced part of the README.
type block struct {
	line       int
	lang, text string
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// blocks are those in one of the languages; there has to be one.
func blocks(t *testing.T, langs ...string) (found []block) {
	t.Helper()
	var b *block
	for i, line := range strings.SplitAfter(readFile(t, "README.md"), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && b == nil:
			b = &block{line: i + 1, lang: strings.TrimSpace(fence)}
		case isFence:
			if slices.Contains(langs, b.lang) {
				found = append(found, *b)
			}
			b = nil
		case b != nil:
			b.text += line
		}
	}
	if len(found) == 0 {
		t.Fatalf("no block of %q", langs)
	}
	return found
}

func TestReadmeLanguages(t *testing.T) {
	known := "go sh nginx lighttpd apache text"
	for _, fence := range regexp.MustCompile("(?m)^```(.+)$").FindAllStringSubmatch(readFile(t, "README.md"), -1) {
		if !slices.Contains(strings.Fields(known), fence[1]) {
			t.Errorf("%q is not one of %s", fence[1], known)
		}
	}
}

// run runs a shell command to its end.
func run(t *testing.T, dir, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readmeTimeout)
	defer cancel()
	cmd := shell(ctx, dir, command)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

// shell is a command in a process group of its own, which ends with ctx.
func shell(ctx context.Context, dir, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOPROXY=off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// userModule is a user's module beside a checkout of this one, which the
// README takes to be called scgi.
func userModule(t *testing.T) (dir string) {
	t.Helper()
	parent := t.TempDir()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(here, filepath.Join(parent, "scgi")); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(parent, "user")
	write(t, filepath.Join(dir, "go.mod"), "module user\n\ngo 1.25\n")
	return dir
}

// The programs compile, in a module that imports this one as the README says.
func TestReadmeGo(t *testing.T) {
	dir := userModule(t)
	for _, b := range blocks(t, "sh") {
		if strings.HasPrefix(b.text, "go mod edit ") {
			run(t, dir, b.text)
		}
	}
	for _, b := range blocks(t, "go") {
		write(t, filepath.Join(dir, fmt.Sprint("line", b.line), "main.go"), b.text)
	}
	run(t, dir, "go vet ./... && go build -o /dev/null ./...")
}

func TestReadmeShell(t *testing.T) {
	for _, b := range blocks(t, "sh") {
		command := strings.TrimSpace(b.text)
		word := func(n int) string { return strings.Join(strings.Fields(command + " . .")[:n], " ") }
		switch {
		case strings.Contains(command, "\n"):
			t.Errorf("line %d: more than one command", b.line)
		case word(2) == "go test":
			checkTestCommand(t, command)
		case word(2) == "go run":
			checkServer(t, command)
		case word(3) == "go mod edit": // TestReadmeGo's
		case word(1) == "grep":
			checkRename(t, command)
		default:
			t.Errorf("line %d: no test for %q", b.line, command)
		}
	}
}

// checkTestCommand: the command that runs this test can't be run by it, so it
// has to be the one that CI runs, but for flags and environment.
func checkTestCommand(t *testing.T, command string) {
	flags := regexp.MustCompile(`^[^#]*\b(go test)((?: -\S+)*)( \S+)$`)
	for _, line := range strings.Split(readFile(t, ".ci/run"), "\n") {
		if flags.ReplaceAllString(line, "$1$3") == command {
			return
		}
	}
	t.Errorf("%q is not what CI runs", command)
}

var address = regexp.MustCompile(`-(scgi|http) \S+`)

// checkServer runs a command that serves, on free ports, asks for its page, and
// ends it as Ctrl-C does. The program is run without "go run" around it, which
// exits with status 1 after an interrupt whatever its program did.
func checkServer(t *testing.T, command string) {
	ctx, cancel := context.WithTimeout(context.Background(), readmeTimeout)
	defer cancel()
	program := filepath.Join(t.TempDir(), "program")
	pkg, flags, _ := strings.Cut(strings.TrimPrefix(command, "go run "), " ")
	run(t, ".", "go build -o "+program+" "+pkg)
	command = "exec " + program + " " + address.ReplaceAllString(flags, "") + " -scgi 127.0.0.1:0 -http 127.0.0.1:0"
	cmd := shell(ctx, ".", command)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := ""
	for lines := bufio.NewScanner(out); url == "" && lines.Scan(); {
		url = regexp.MustCompile(`http://\S+`).FindString(lines.Text())
	}
	client := &http.Client{Timeout: readmeTimeout}
	resp, err := client.Get(url)
	if err != nil {
		t.Error(err)
	} else {
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", command, resp.Status)
		}
	}
	client.CloseIdleConnections()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v", command, err)
	}
}

// checkRename renames a copy of the module, which still has to compile.
func checkRename(t *testing.T, command string) {
	dir := t.TempDir()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err == nil && d.Type().IsRegular() && (ext == ".go" || ext == ".mod" || ext == ".sum") {
			write(t, filepath.Join(dir, path), readFile(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, command)
	if name := run(t, dir, "go list -m"); name == "example.com/scgi" {
		t.Errorf("the module is still called %s", name)
	}
	run(t, dir, "go build -o /dev/null ./...")
}

// The stanzas are the ones that the tests with real web servers include.
func TestReadmeStanzas(t *testing.T) {
	for _, server := range []string{"nginx", "lighttpd", "apache"} {
		files, err := filepath.Glob(filepath.Join("interop", "testdata", server+"*.conf"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no stanzas of %s in interop/testdata: %v", server, err)
		}
		var tested []string
		for _, name := range files {
			tested = append(tested, readFile(t, name))
		}
		for _, b := range blocks(t, server) {
			if !slices.Contains(tested, b.text) {
				t.Errorf("line %d: this is none of %q", b.line, files)
			}
		}
	}
}

func TestReadmeNames(t *testing.T) {
	readme := readFile(t, "README.md")
	for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(readme, -1) {
		if _, err := os.Stat(link[1]); err != nil {
			t.Error(err)
		}
	}
	examples := regexp.MustCompile("\\[`(Example\\w*)`\\]\\(([^)]+)\\)").FindAllStringSubmatch(readme, -1)
	for _, link := range examples {
		if name, file := link[1], link[2]; !strings.Contains(readFile(t, file), "\nfunc "+name+"() {") {
			t.Errorf("there is no %s in %s", name, file)
		}
	}
	if n := strings.Count(readme, "`Example"); n == 0 || n != len(examples) {
		t.Errorf("%d of %d names of examples are links to their file", len(examples), n)
	}
	for _, b := range blocks(t, "text") {
		for _, name := range regexp.MustCompile(`\w+\.go\b`).FindAllString(b.text, -1) {
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
		}
	}
}

// section is the README from a heading to the next of its level.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(readFile(t, "README.md"), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// The tables have each number of Server, and the defaults of those that have
// one.
func TestReadmeLimits(t *testing.T) {
	limits := section(t, "Limits")
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

// What the table of numbers calls a field of Stats, a metric or a field of
// Server is one.
func TestReadmeNumbers(t *testing.T) {
	page := httptest.NewRecorder()
	new(scgi.Server).StatsHandler().ServeHTTP(page, httptest.NewRequest("GET", "/?format=prometheus", nil))
	table, _, _ := strings.Cut(section(t, "Operations"), "\n\nThe server answers")
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

// The lines that the log is said to have are in the code.
func TestReadmeLogLines(t *testing.T) {
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
	lines := regexp.MustCompile("`scgi: ([^`]+)`").FindAllStringSubmatch(readFile(t, "README.md"), -1)
	if len(lines) == 0 {
		t.Fatal("none found")
	}
	for _, line := range lines {
		if !strings.Contains(code.String(), `"scgi: `+line[1]) && !strings.Contains(code.String(), `"`+line[1]) {
			t.Errorf("nothing logs %q", line[1])
		}
	}
}

// The access log's record has the fields that the README names.
func TestReadmeAccessLog(t *testing.T) {
	var record bytes.Buffer
	srv := &scgi.Server{AccessLog: slog.New(slog.NewJSONHandler(&record, nil))}
	l, err := scgi.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	client := &http.Client{Transport: &gateway.Transport{Addr: l.Addr().String()}, Timeout: readmeTimeout}
	resp, err := client.Get("http://example.org/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), readmeTimeout)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]any)
	if err := json.Unmarshal(record.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(section(t, "Operations"), "`AccessLog` gets")
	for name := range fields {
		if !slices.Contains([]string{"time", "level", "msg"}, name) && !strings.Contains(text, "`"+name+"`") {
			t.Errorf("the field %s is not in %s", name, text)
		}
	}
}

// Links within the README have a heading to go to.
func TestReadmeAnchors(t *testing.T) {
	readme := readFile(t, "README.md")
	anchors := make(map[string]bool)
	for _, h := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(readme, -1) {
		name := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(h[1]), "")
		anchors[strings.ReplaceAll(name, " ", "-")] = true
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(readme, -1) {
		if !anchors[link[1]] {
			t.Errorf("no heading for #%s", link[1])
		}
	}
}
