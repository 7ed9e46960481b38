package faults

// memory_test.go measures the memory that peers can pin, with the requests that cost most.
// The documents must state the numbers that hold here.

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"example.com/scgi"
)

// With the default MaxHeaderBytes, a connection costs at most heldByConn while it sends its
// header or waits for a worker, and heldByRequest while its handler runs under HTTPHandler.
const (
	heldByConn    = 80 << 10
	heldByRequest = 352 << 10
)

// costly returns requests whose header blocks have DefaultMaxHeaderBytes and cost more
// memory than that, each for a different reason.
func costly() map[string]string {
	const (
		left   = scgi.DefaultMaxHeaderBytes - 100
		fields = 997 // one less than the server accepts beside CONTENT_LENGTH and SCGI
	)
	request := func(namesAndValues ...string) string {
		return encode("", append([]string{"CONTENT_LENGTH", "0", "SCGI", "1"}, namesAndValues...)...)
	}
	var names []string
	for i := range fields {
		names = append(names, fmt.Sprintf("HTTP_X%0*d", left/1000-len("HTTP_X00"), i), "")
	}
	return map[string]string{
		"one long value":        request("X", strings.Repeat("x", left)),
		"one field many times":  request(slices.Repeat([]string{"HTTP_A", strings.Repeat("x", left/1000-8)}, fields)...),
		"many fields":           request(names...),
		"a URI to be decoded":   request("REQUEST_URI", "/%41%2F"+strings.Repeat("x", left-20)),
		"a path to be encoded":  request("PATH_INFO", strings.Repeat("\xff", left-20)),
		"two names to be added": request("SCRIPT_NAME", strings.Repeat("\xff", left/2-20), "PATH_INFO", strings.Repeat("\xff", left/2-20)),
	}
}

func TestMemoryOfIncompleteHeaders(t *testing.T) {
	const peers = 100
	request := costly()["one long value"]
	for _, part := range []int{len(request) * 3 / 5, len(request) - 1} {
		l := listen(t, "unix")
		s := &scgi.Server{}
		start(t, s, l)
		ask(t, l.Addr(), get("/"))
		before := memoryInUse()
		for i := range peers {
			c := dial(t, l.Addr())
			if _, err := io.WriteString(c, request[:part]); err != nil {
				t.Fatal(err)
			}
			for s.Stats().Reading <= int64(i) {
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
	for name, request := range costly() {
		if len(request) > scgi.DefaultMaxHeaderBytes || len(request) < scgi.DefaultMaxHeaderBytes*9/10 {
			t.Errorf("%s: the request has %d bytes", name, len(request))
		}
		l := listen(t, "unix")
		var running sync.WaitGroup
		release := make(chan struct{})
		start(t, &scgi.Server{MaxWorkers: requests, Handler: scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
			go io.WriteString(dial(t, l.Addr()), request)
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

// The documents state these bounds and the total.
func TestMemoryIsDocumented(t *testing.T) {
	total := (scgi.DefaultMaxConns-scgi.DefaultMaxWorkers)*heldByConn + scgi.DefaultMaxWorkers*heldByRequest
	for _, file := range []string{"../docs/limits.md", "../SECURITY.md"} {
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
	unit, err := os.ReadFile("../deploy/systemd/app.service")
	if err != nil {
		t.Fatal(err)
	}
	max := regexp.MustCompile(`(?m)^MemoryMax=(\d+)G$`).FindSubmatch(unit)
	if max == nil {
		t.Fatal("the unit has no MemoryMax in GiB")
	}
	// With the default GOGC the heap grows to twice the memory in use.
	if n, _ := strconv.Atoi(string(max[1])); 2*total > n<<30 {
		t.Errorf("twice %d bytes do not fit the unit's MemoryMax of %d GiB", total, n)
	}
}
