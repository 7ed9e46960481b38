package interop_test

// nethttp_test.go runs those tests of the installed Go's net/http that start a server, with
// this library's server in its place. A list names each test that fails, with the reason,
// and each test on the list must fail. The tests are read from GOROOT; this repository has
// none of their source.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The reasons why a test can't pass.
const (
	wire   = "HTTP/1's wire: " // done by the web server, here the gateway
	cgi    = "SCGI: "          // SCGI can't express it
	differ = "documented: "    // the library differs on purpose
)

// mayPass ends the reason of a test that sometimes passes.
const mayPass = " (it passes at times)"

var netHTTPExceptions = map[string]string{
	"TestBadResponseAfterReadingBody":             differ + "gateway.New answers a malformed reply with 502",
	"TestConnectRequest":                          wire + "CONNECT is for proxies, and no web server passes it on",
	"TestEarlyHintsRequest":                       cgi + "no informational responses",
	"TestFileServerNullByte":                      cgi + "no variable holds a NUL byte, and the path is one",
	"TestH12_FlushBeforeBody":                     wire + "the gateway's first flush races with the end of an empty body" + mayPass,
	"TestH12_HandlerWritesTooLittle":              differ + "a short reply of which nothing was sent becomes a 500",
	"TestH12_RequestContentLength_Unknown":        cgi + "each request has its length",
	"TestHandlersCanSetConnectionClose10":         wire + "Connection",
	"TestHandlersCanSetConnectionClose11":         wire + "Connection",
	"TestIdentityResponse":                        wire + "Transfer-Encoding and Connection",
	"TestInterruptWithPanic":                      differ + "a handler that ends by runtime.Goexit, for which panic(nil) passes there, is logged",
	"TestInvalidChunkedBodies":                    wire + "the gateway refuses a malformed body before the handler runs",
	"TestKeepAliveFinalChunkWithEOF":              wire + "the gateway sends the last chunk when the server's connection ends, not with the last bytes" + mayPass,
	"TestNoSniffExpectRequestBody":                wire + "100 Continue, and the gateway reads the body first",
	"TestOnlyWriteTimeout":                        wire + "a deadline on the connection to the client",
	"TestRequestBodyLimit":                        differ + "gateway.New reads the body before the handler runs",
	"TestResponseControllerEnableFullDuplex":      cgi + "a body of unknown length is read before the handler runs",
	"TestResponseControllerSetFutureReadDeadline": cgi + "a body of unknown length is read before the handler runs",
	"TestResponseControllerSetPastReadDeadline":   cgi + "a body of unknown length is read before the handler runs",
	"TestServerConnState":                         wire + "the states of client connections",
	"TestServerContext_LocalAddrContextKey":       differ + "http.LocalAddrContextKey is the address that the web server connected to",
	"TestServerExpect":                            wire + "100 Continue",
	"TestServerFlushAndHijack":                    wire + "the handler writes chunks to the hijacked connection",
	"TestServerGracefulClose":                     wire + "the gateway has read the body and keeps the client's connection",
	"TestServerHandlersCanHandleH2PRI":            wire + "the preface of HTTP/2",
	"TestServerHijackGetsBackgroundByte":          wire + "a tunnel without 101",
	"TestServerHijackGetsBackgroundByte_big":      wire + "a tunnel without 101",
	"TestServerHijackGetsFullBody":                wire + "a tunnel without 101",
	"TestServerNoDate":                            wire + "Date",
	"TestServerNoReadTimeout":                     differ + "gateway.New reads the body before the handler runs",
	"TestServerReadTimeout":                       differ + "gateway.New answers a body that stops with 408",
	"TestServerUndeclaredTrailers":                cgi + "no trailers",
	"TestServerWriteTimeout":                      wire + "a timeout on the connection to the client",
	"TestStarRequestMethod":                       wire + "the gateway's first flush races with the end of an empty body" + mayPass,
	"TestTrailersClientToServer":                  cgi + "no trailers",
	"TestTrailersServerToClient":                  cgi + "no trailers",
	"TestTrailersServerToClientFlush":             cgi + "no trailers",
	"TestWriteHeaderNoCodeCheck":                  differ + "the log is slog's",
	"TestWriteHeaderNoCodeCheck_h1hijack":         differ + "the log is slog's",
	"TestWriteHeaderSwitchingProtocols":           wire + "a 101 that no client asked for",
}

func TestNetHTTPServerTests(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles net/http's tests")
	}
	src := filepath.Join(strings.TrimSpace(string(output(t, "go", "env", "GOROOT"))), "src", "net", "http")
	if _, err := os.Stat(filepath.Join(src, "clientserver_test.go")); err != nil {
		t.Skipf("the installed Go comes without the source of net/http's tests: %v", err)
	}
	b := compileNetHTTP(t, src)
	var expected []string
	for _, name := range serverTests(t, src) {
		if netHTTPExceptions[name] == "" {
			expected = append(expected, name)
		}
	}

	outcomes := b.run(t, expected, "100s")
	var again []string
	for _, name := range expected {
		if result := outcomes[name].result; result != "PASS" && result != "SKIP" {
			again = append(again, name) // run it alone: another test may have ended the process
		}
	}
	for name, o := range b.runEach(t, again, "20s") {
		if outcomes[name] = o; o.result != "PASS" && o.result != "SKIP" {
			t.Errorf("%s fails behind SCGI, and is not in the list of exceptions:\n%s", name, o.out)
		}
	}
	passed := 0
	for _, o := range outcomes {
		if o.server && o.result == "PASS" {
			passed++
		}
	}
	for name, o := range b.runEach(t, slices.Sorted(maps.Keys(netHTTPExceptions)), "3s") {
		switch {
		case !o.server:
			t.Errorf("%s is in the list of exceptions, but runs no server:\n%s", name, o.out)
		case o.result == "PASS" && !strings.HasSuffix(netHTTPExceptions[name], mayPass):
			t.Errorf("%s passes behind SCGI, and is in the list of exceptions: %s", name, netHTTPExceptions[name])
		}
	}
	checkNetHTTPNumbers(t, passed, passed+len(netHTTPExceptions))
}

// checkNetHTTPNumbers fails unless the README states these numbers.
func checkNetHTTPNumbers(t *testing.T, passed, total int) {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	minor := regexp.MustCompile(`^go1\.\d+`).FindString(runtime.Version())
	says := fmt.Sprintf("%d of %d of net/http's own server tests (Go %s)", passed, total, strings.TrimPrefix(minor, "go"))
	if text := strings.Join(strings.Fields(string(readme)), " "); !strings.Contains(text, says) {
		t.Errorf("README.md does not say: %s", says)
	}
}

// clientTests names the files that test net/http's client.
var clientTests = regexp.MustCompile(`^(transport(_.*)?|client|clientconn|alpn|proxy)_test\.go$`)

// serverTests returns the tests that reach newClientServerTest, which calls behindSCGI. It
// follows the names that each function uses, so it may return too many; a test that runs no
// server is not counted.
func serverTests(t *testing.T, src string) (tests []string) {
	files, err := filepath.Glob(filepath.Join(src, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	uses := make(map[string]map[string]bool)
	var candidates []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if uses[f.Name.Name] == nil {
				uses[f.Name.Name] = make(map[string]bool)
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					uses[f.Name.Name][id.Name] = true
				}
				return true
			})
			if strings.HasPrefix(f.Name.Name, "Test") && f.Recv == nil && !clientTests.MatchString(filepath.Base(name)) {
				candidates = append(candidates, f.Name.Name)
			}
		}
	}
	for _, name := range candidates {
		if reaches(uses, name, make(map[string]bool)) {
			tests = append(tests, name)
		}
	}
	return tests
}

func reaches(uses map[string]map[string]bool, name string, seen map[string]bool) bool {
	if name == "newClientServerTest" {
		return true
	}
	if seen[name] {
		return false
	}
	seen[name] = true
	for used := range uses[name] {
		if reaches(uses, used, seen) {
			return true
		}
	}
	return false
}

// netHTTP is net/http's compiled tests, behind SCGI.
type netHTTP struct{ binary, dir string }

// compileNetHTTP overlays two changes to clientserver_test.go, and the file that they call.
// If net/http's tests change there, this function must change too.
func compileNetHTTP(t *testing.T, src string) netHTTP {
	name := filepath.Join(src, "clientserver_test.go")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, insert := range []struct{ before, line string }{
		{"\tswitch mode {\n\tcase http1Mode:\n\t\tcst.ts.Start()\n", "\tbehindSCGI(t, cst)\n"},
		{"\tfor _, mode := range modes {\n\t\tt.Run(string(mode), func(t T) {\n\t\t\tt.Helper()\n", "\tmodes = http1Only(t, modes)\n"},
	} {
		if n := bytes.Count(text, []byte(insert.before)); n != 1 {
			t.Fatalf("net/http's clientserver_test.go has %d places for %q, want 1", n, insert.line)
		}
		text = bytes.Replace(text, []byte(insert.before), []byte(insert.line+insert.before), 1)
	}
	dir := t.TempDir()
	changed, overlay, binary := filepath.Join(dir, "clientserver_test.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "http.test")
	added, err := filepath.Abs("testdata/nethttp/behindscgi_test.go")
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{
		name:                                     changed,
		filepath.Join(src, "behindscgi_test.go"): added,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{changed: text, overlay: replace} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output(t, "go", "test", "-c", "-overlay", overlay, "-o", binary, "net/http")
	return netHTTP{binary, src}
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, out, &stderr)
	}
	return out
}

// An outcome is the result of one test.
type outcome struct {
	server bool   // whether it ran a server behind SCGI
	result string // PASS, FAIL or SKIP; empty if it did not end
	out    string // output of the whole process, truncated
}

// run runs the tests in one process, which is killed after the timeout.
func (b netHTTP) run(t *testing.T, tests []string, timeout string) map[string]outcome {
	cmd := exec.Command(b.binary, "-test.v", "-test.short", "-test.timeout", timeout, "-test.run", "^("+strings.Join(tests, "|")+")$")
	cmd.Dir = b.dir
	raw, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Error(err)
	}
	out := string(raw)
	outcomes := make(map[string]outcome)
	for _, name := range tests {
		o := outcome{out: out[:min(len(out), 4000)]}
		o.server = strings.Contains(out, "\nbehind SCGI: "+name+"/") || strings.Contains(out, "\nbehind SCGI: "+name+"\n")
		if m := regexp.MustCompile(`(?m)^--- (\w+): ` + name + ` \(`).FindStringSubmatch(out); m != nil {
			o.result = m[1]
		}
		outcomes[name] = o
	}
	return outcomes
}

// runEach runs each test in a process of its own, so that a test that panics or hangs
// disturbs no other.
func (b netHTTP) runEach(t *testing.T, tests []string, timeout string) map[string]outcome {
	outcomes := make(map[string]outcome)
	var mu sync.Mutex
	var group sync.WaitGroup
	room := make(chan bool, 2*runtime.GOMAXPROCS(0))
	for _, name := range tests {
		room <- true
		group.Go(func() {
			defer func() { <-room }()
			o := b.run(t, []string{name}, timeout)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(outcomes, o)
		})
	}
	group.Wait()
	return outcomes
}
