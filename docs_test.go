//go:build unix

package scgi_test

// docs_test.go tests the blocks and links of README.md, the pages in docs and the page of
// the vectors: programs compile, commands run, and stanzas are those of the tests. A block
// in an unknown language fails.

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const docsTimeout = 2 * time.Minute

// pages returns every page in docs, README.md and the vectors' page.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("docs/*.md")
	if err != nil || len(found) == 0 {
		t.Fatal("no pages in docs", err)
	}
	return append(found, "README.md", "testdata/vectors/README.md")
}

// block is a fenced block of a page.
type block struct {
	page       string
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

// blocks returns the blocks of all pages in one of these languages, and fails t if there are
// none.
func blocks(t *testing.T, langs ...string) (found []block) {
	t.Helper()
	for _, page := range pages(t) {
		for _, b := range blocksOf(t, page) {
			if slices.Contains(langs, b.lang) {
				found = append(found, b)
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no block of %q", langs)
	}
	return found
}

func blocksOf(t *testing.T, page string) (found []block) {
	t.Helper()
	var b *block
	for i, line := range strings.SplitAfter(readFile(t, page), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && b == nil:
			b = &block{page: page, line: i + 1, lang: strings.TrimSpace(fence)}
		case isFence:
			found = append(found, *b)
			b = nil
		case b != nil:
			b.text += line
		}
	}
	return found
}

func TestDocsLanguages(t *testing.T) {
	known := strings.Fields("go sh nginx lighttpd apache text python")
	for _, page := range pages(t) {
		for _, b := range blocksOf(t, page) {
			if !slices.Contains(known, b.lang) {
				t.Errorf("%s:%d: %q is not one of %s", page, b.line, b.lang, known)
			}
		}
	}
}

// No page is longer than 250 lines, and the README no longer than 200.
func TestDocsLength(t *testing.T) {
	for _, page := range pages(t) {
		most := 250
		if page == "README.md" {
			most = 200
		}
		if n := strings.Count(readFile(t, page), "\n"); n > most {
			t.Errorf("%s has %d lines, more than %d", page, n, most)
		}
	}
}

// run runs a shell command to its end and returns its output.
func run(t *testing.T, dir, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), docsTimeout)
	defer cancel()
	cmd := shell(ctx, dir, command)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

// shell returns a command in a process group of its own, which ctx ends.
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

// userModule creates a user's module beside a checkout of this one, which the README assumes
// is called scgi.
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

// The programs compile in a module that imports this one as the README says.
func TestDocsGo(t *testing.T) {
	dir := userModule(t)
	for _, b := range blocks(t, "sh") {
		if strings.HasPrefix(b.text, "go mod edit ") {
			run(t, dir, b.text)
		}
	}
	for _, b := range blocks(t, "go") {
		page := strings.NewReplacer("/", "-", ".", "-").Replace(b.page)
		write(t, filepath.Join(dir, fmt.Sprint(page, "-", b.line), "main.go"), b.text)
	}
	run(t, dir, "go vet ./... && go build -o /dev/null ./...")
}

func TestDocsShell(t *testing.T) {
	for _, b := range blocks(t, "sh") {
		command := strings.TrimSpace(b.text)
		word := func(n int) string { return strings.Join(strings.Fields(command + " . .")[:n], " ") }
		switch {
		case strings.Contains(command, "\n"):
			t.Errorf("%s:%d: more than one command", b.page, b.line)
		case word(2) == "go test":
			checkTestCommand(t, command)
		case word(2) == "go run":
			checkServer(t, command)
		case word(3) == "go mod edit": // TestDocsGo runs it
		case word(1) == "grep":
			checkRename(t, command)
		default:
			t.Errorf("%s:%d: no test for %q", b.page, b.line, command)
		}
	}
}

// checkTestCommand compares the command with CI's, apart from flags and environment. It
// can't run it, since the command runs this test.
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

// checkServer runs a command that serves on free ports, requests its page, and ends it as
// Ctrl-C does. It runs the program without "go run", which exits with status 1 after an
// interrupt whatever the program does.
func checkServer(t *testing.T, command string) {
	ctx, cancel := context.WithTimeout(context.Background(), docsTimeout)
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
	client := &http.Client{Timeout: docsTimeout}
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

// checkRename renames a copy of the module and compiles it.
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

// The stanzas are those that the tests with real web servers include.
func TestDocsStanzas(t *testing.T) {
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
				t.Errorf("%s:%d: the stanza is not one of %q", b.page, b.line, files)
			}
		}
	}
}

// Links lead to an existing file, to a heading in it, and to an example that the linked file
// contains.
func TestDocsLinks(t *testing.T) {
	link := regexp.MustCompile(`(?:(?:\[` + "`" + `(Example\w*)` + "`" + `)?\]\(([^)#:]*)(?:#([^)]+))?\))`)
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(readFile(t, page), -1) {
			example, file, anchor := m[1], filepath.Join(filepath.Dir(page), m[2]), m[3]
			if m[2] == "" {
				file = page
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(t, file), anchor) {
				t.Errorf("%s: %s has no heading #%s", page, file, anchor)
			}
			if example != "" && !strings.Contains(readFile(t, file), "\nfunc "+example+"() {") {
				t.Errorf("%s: %s has no %s", page, file, example)
			}
		}
	}
}

// anchors returns the anchors of a page's headings.
func anchors(t *testing.T, page string) (names []string) {
	t.Helper()
	for _, h := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(readFile(t, page), -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}
