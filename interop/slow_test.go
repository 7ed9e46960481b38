package interop_test

// slow_test.go runs the attacks of slowhttptest: clients that send their header, send their
// body or read their answer as slowly as they can. At the height of an attack, every honest
// request is answered.

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

// attacks are slowhttptest's options. Each attack uses slowClients connections. The answer
// for slow readers is larger than what Apache and the sockets buffer for a client that does
// not read.
var attacks = map[string][]string{
	"slow header": {"-H"},
	"slow body":   {"-B", "-s", "16384"},
	"slow read":   {"-X", "-w", "10", "-y", "20", "-z", "8", "-n", "1"},
}

const (
	slowClients = 100
	honestCalls = 50
)

func TestSlowClients(t *testing.T) {
	program := webserver.NeedProgram(t, "slowhttptest", "slowhttptest")
	mux := http.NewServeMux()
	mux.HandleFunc("/attacked", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, pattern(1<<20))
	})
	mux.HandleFunc("/honest", echo)
	s := site{handler: scgi.HTTPHandler(mux), extra: map[webserver.Kind]string{webserver.Apache: "SendBufferSize 65536"}}
	for name, options := range attacks {
		for i, kind := range kinds {
			t.Run(name+"/"+string(kind), func(t *testing.T) {
				t.Parallel() // an attack needs only a third of a processor
				fr := s.start(t, kind, []string{"tcp", "unix", "unix"}[i])
				defer startAttack(t, program, fr, options)()
				for range honestCalls {
					call{method: "POST", target: "/honest", body: pattern(1000)}.do(t, fr.addr).ok(t, http.StatusOK)
				}
			})
		}
	}
}

// startAttack returns when most of the attack's connections are open.
func startAttack(t *testing.T, program string, fr front, options []string) (stop func()) {
	t.Helper()
	args := append([]string{"-c", strconv.Itoa(slowClients), "-r", strconv.Itoa(slowClients), "-i", "1", // one piece a second
		"-l", strconv.Itoa(int(3 * patience / time.Second)), "-u", "http://" + fr.addr + "/attacked"}, options...)
	cmd := exec.Command(program, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(patience)
	for established(t, fr.addr) < slowClients*2/3 {
		select {
		case <-poll.C:
		case <-deadline:
			stop()
			t.Fatal("timed out waiting for the attack")
		}
	}
	return stop
}

// established counts the connections to addr in Linux's table.
func established(t *testing.T, addr string) int {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Skip("the attack can't be watched: ", err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	remote := fmt.Sprintf("0100007F:%04X 01 ", n) // 127.0.0.1, in the state ESTABLISHED
	return strings.Count(string(table), remote)
}
