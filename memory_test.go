package scgi

// memory_test.go owns the bound on the memory that peers can pin. Rule: it is
// measured with the requests that cost most, and the numbers that the
// documents state are the ones that are held here.

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// With the default MaxHeaderBytes, a connection costs at most heldByConn while
// it sends its header or waits for a worker, and heldByRequest while its
// handler runs behind HTTPHandler.
const (
	heldByConn    = 80 << 10
	heldByRequest = 352 << 10
)

// costly are header blocks of DefaultMaxHeaderBytes that cost more memory than
// they have bytes, each in another way.
func costly() map[string]string {
	const left = DefaultMaxHeaderBytes - 100
	start := NewEnv("CONTENT_LENGTH", "0", "SCGI", "1").block
	var names strings.Builder
	for i := range maxVariables - 3 {
		fmt.Fprintf(&names, "HTTP_X%0*d\x00\x00", left/maxVariables-len("HTTP_X00"), i)
	}
	return map[string]string{
		"one long value":        start + NewEnv("X", strings.Repeat("x", left)).block,
		"one field many times":  start + strings.Repeat("HTTP_A\x00"+strings.Repeat("x", left/maxVariables-8)+"\x00", maxVariables-3),
		"many fields":           start + names.String(),
		"a URI to be decoded":   start + NewEnv("REQUEST_URI", "/%41%2F"+strings.Repeat("x", left-20)).block,
		"a path to be encoded":  start + NewEnv("PATH_INFO", strings.Repeat("\xff", left-20)).block,
		"two names to be added": start + NewEnv("SCRIPT_NAME", strings.Repeat("\xff", left/2-20), "PATH_INFO", strings.Repeat("\xff", left/2-20)).block,
	}
}

func TestMemoryOfIncompleteHeaders(t *testing.T) {
	const peers = 100
	request := appendNetstring(nil, costly()["one long value"])
	for _, part := range []int{len(request) * 3 / 5, len(request) - 1} {
		l := listen(t, "unix")
		s := &Server{}
		start(t, s, l)
		ask(t, l.Addr(), get("/"))
		before := memoryInUse()
		for i := range peers {
			c := dial(t, l.Addr())
			if _, err := c.Write(request[:part]); err != nil {
				t.Fatal(err)
			}
			for s.count.reading.Load() <= int64(i) {
				runtime.Gosched()
			}
		}
		ask(t, l.Addr(), get("/"))
		cost := (memoryInUse() - before) / peers
		t.Logf("%d of %d bytes of a header hold %d", part, len(request), cost)
		if cost > heldByConn {
			t.Errorf("a connection holds %d bytes, want at most %d", cost, heldByConn)
		}
	}
}

func TestMemoryOfRequests(t *testing.T) {
	const requests = 40
	for name, block := range costly() {
		if len(block) > DefaultMaxHeaderBytes || len(block) < DefaultMaxHeaderBytes*9/10 {
			t.Errorf("%s: the header has %d bytes", name, len(block))
		}
		l := listen(t, "unix")
		var running sync.WaitGroup
		release := make(chan struct{})
		start(t, &Server{MaxWorkers: requests, Handler: HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/first" {
				return
			}
			running.Done()
			<-release
			runtime.KeepAlive(r)
		}))}, l)
		ask(t, l.Addr(), get("/first"))
		before := memoryInUse()
		running.Add(requests)
		for range requests {
			go dial(t, l.Addr()).Write(appendNetstring(nil, block))
		}
		running.Wait()
		cost := (memoryInUse() - before) / requests
		close(release)
		t.Logf("%s: %d bytes for a request", name, cost)
		if cost > heldByRequest {
			t.Errorf("%s: a request holds %d bytes, want at most %d", name, cost, heldByRequest)
		}
	}
}

// The documents state what is measured, and what it adds up to.
func TestMemoryIsDocumented(t *testing.T) {
	total := (DefaultMaxConns-DefaultMaxWorkers)*heldByConn + DefaultMaxWorkers*heldByRequest
	for _, file := range []string{"docs/limits.md", "SECURITY.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{heldByConn >> 10, heldByRequest >> 10} {
			if !strings.Contains(string(text), strconv.Itoa(size)+" KiB") {
				t.Errorf("%s does not say %d KiB", file, size)
			}
		}
		if !strings.Contains(string(text), fmt.Sprintf("%d MiB", total>>20)) {
			t.Errorf("%s does not say %d MiB", file, total>>20)
		}
	}
	unit, err := os.ReadFile("deploy/systemd/app.service")
	if err != nil {
		t.Fatal(err)
	}
	max := regexp.MustCompile(`(?m)^MemoryMax=(\d+)G$`).FindSubmatch(unit)
	if max == nil {
		t.Fatal("the unit has no MemoryMax in GiB")
	}
	// The collector lets the heap grow to twice what is in use, GOGC's default.
	if n, _ := strconv.Atoi(string(max[1])); 2*total > n<<30 {
		t.Errorf("twice %d bytes do not fit the unit's MemoryMax of %d GiB", total, n)
	}
}
