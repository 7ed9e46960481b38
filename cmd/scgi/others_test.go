//go:build unix

package main

// others_test.go runs get against SCGI servers from other projects. It tests that
// get shows their replies completely, not what the replies say.

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/scgi/internal/webserver"
)

// startOther starts a program and returns when it listens.
func startOther(t *testing.T, network, addr string, cmd *exec.Cmd) {
	t.Helper()
	log := new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for end := time.After(patience); ; {
		if c, err := net.Dial(network, addr); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%v has ended: %s", cmd, log)
		case <-end:
			t.Fatalf("%v does not listen: %s", cmd, log)
		case <-time.After(3 * time.Millisecond):
		}
	}
}

func TestGetFromFossil(t *testing.T) {
	fossil := webserver.NeedProgram(t, "fossil", "fossil")
	home := t.TempDir()
	env := append(os.Environ(), "HOME="+home, "USER=alice")
	repository := filepath.Join(home, "a.fossil")
	create := exec.Command(fossil, "init", repository)
	create.Env = env
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	addr := webserver.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(fossil, "server", "--scgi", "--localhost", "--port", port, repository)
	server.Env = env
	startOther(t, "tcp", addr, server)
	if r := run1(t, "", "get", "-f", "-i", addr, "/home"); r.status != 0 || !strings.HasPrefix(r.stdout, "Status: 200 OK\r\n") || !strings.HasSuffix(r.stdout, "</html>\n") {
		t.Errorf("existing page: got %+v", r)
	}
	if r := run1(t, "", "get", "-f", addr, "/no-such-page"); r.status != exitHTTP {
		t.Errorf("missing page: got %+v", r)
	}
	if r := run1(t, "", "get", addr, "/login", "-d", "u=alice&p=wrong"); r.status != 0 || !strings.Contains(r.stdout, "You entered an unknown user or an incorrect password") {
		t.Errorf("form: got %+v", r)
	}
}

func TestGetFromRTorrent(t *testing.T) {
	rtorrent := webserver.NeedProgram(t, "rtorrent", "rtorrent")
	dir := webserver.TempDir(t)
	socket := filepath.Join(dir, "s")
	rc := filepath.Join(dir, "rc")
	if err := os.WriteFile(rc, []byte("system.daemon.set = true\nnetwork.port_open.set = no\nnetwork.scgi.open_local = "+socket+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	startOther(t, "unix", socket, exec.Command(rtorrent, "-n", "-o", "import="+rc))
	const call = `<?xml version="1.0"?><methodCall><methodName>METHOD</methodName><params/></methodCall>`
	for method, want := range map[string]string{
		"system.client_version": "<string>0.",
		"no.such.method":        "<name>faultCode</name>",
	} {
		r := run1(t, "", "get", "-f", "unix:"+socket, "/RPC2", "-d", strings.Replace(call, "METHOD", method, 1), "-H", "Content-Type: text/xml")
		if r.status != 0 || !strings.Contains(r.stdout, want) || !strings.Contains(r.stdout, "</methodResponse>") {
			t.Errorf("%s: got %+v", method, r)
		}
	}
}
