package interop_test

// spawn_test.go tests lighttpd's bin-path: lighttpd starts the program with the listening
// socket as standard input, and restarts it when it ends.

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/scgi/internal/webserver"
)

func TestStartedByLighttpd(t *testing.T) {
	addr := startBy(t, "../examples/environ")
	a := get("/x?y").do(t, addr).ok(t, http.StatusOK)
	if !strings.Contains(a.body, `REQUEST_URI: "/x?y"`) {
		t.Errorf("no REQUEST_URI in %s", a.body)
	}
}

func TestRestartedByLighttpd(t *testing.T) {
	addr := startBy(t, "./testdata/fd0")
	pid := askPid(t, addr)
	if again := askPid(t, addr); again != pid {
		t.Errorf("the next request was served by %d, not %d", again, pid)
	}
	kill(t, pid)
	awaitAnother(t, addr, pid)
}

// startBy makes lighttpd start the command in folder, and returns lighttpd's address.
func startBy(t *testing.T, folder string) (addr string) {
	t.Helper()
	webserver.Need(t, webserver.Lighttpd)
	program := filepath.Join(webserver.TempDir(t), "app")
	if out, err := exec.Command("go", "build", "-o", program, folder).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return webserver.Start(t, webserver.Lighttpd, webserver.Config{
		Stanza:  filepath.Join("testdata", "lighttpd-bin-path.conf"),
		Program: program,
	})
}

func askPid(t *testing.T, addr string) int {
	t.Helper()
	a := get("/").do(t, addr).ok(t, http.StatusOK)
	pid, err := strconv.Atoi(a.body)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

// awaitAnother sends requests until a process other than old answers.
func awaitAnother(t *testing.T, addr string, old int) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-deadline.C:
			t.Fatalf("process %d was not replaced", old)
		case <-poll.C:
			a := get("/").do(t, addr)
			if pid, err := strconv.Atoi(a.body); err == nil && a.isWhole() && pid != old {
				return
			}
		}
	}
}
