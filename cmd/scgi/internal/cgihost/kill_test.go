//go:build unix

package cgihost

// kill_test.go tests when programs and their process groups are killed, and what is left
// running.

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// family returns the start of a script that starts a child and writes "ready" once
// both run.
func family(g *group) string {
	return `exec 3>` + g.path + `; sleep 1000 & echo ready >&3; `
}

func TestTimeoutKillsGroup(t *testing.T) {
	g := newGroup(t)
	s := serve(t, &Host{Path: program(t, family(g)+"wait"), Timeout: 2 * time.Second})
	c := s.send(t, 0, "")
	g.line(t, "ready")
	g.awaitEnd(t)
	reply, err := io.ReadAll(c)
	if head := string(reply); err != nil || status(head) != "504" {
		t.Errorf("got %q, %v; want 504", head, err)
	}
	s.wantLog(t, "level=ERROR", "program=", "uri=/uri", "method=GET")
}

// On a unix socket, only a missing part of the Content-Length shows that the reply
// was cut.
func TestTimeoutCutsReply(t *testing.T) {
	s := serve(t, &Host{delay: soon, Path: program(t, `printf 'Content-Length: 9\n\npage'; sleep 1000`), Timeout: 2 * time.Second})
	if head, page := s.ask(t, ""); status(head) != "200" || page != "page" {
		t.Errorf("got %q %q", head, page)
	}
	s.wantLog(t, "level=ERROR")
}

func TestClientGoneKillsGroup(t *testing.T) {
	for name, text := range map[string]string{
		"is silent":        "wait",
		"reads":            "cat >/dev/null; wait",
		"writes":           `printf 'A: b\n\n'; while :; do echo x; done`,
		"stops in header":  `printf 'A: b\n'; wait`,
		"closes output":    "exec 1>&-; wait",
		"child has output": "exit",
	} {
		g := newGroup(t)
		s := serve(t, &Host{Path: program(t, family(g)+text)})
		c := s.send(t, 1000, "half")
		g.line(t, "ready")
		_ = c.Close()
		g.awaitEnd(t)
		if log := s.log.String(); log != "" {
			t.Errorf("%s: the log has %q", name, log)
		}
	}
}

// A program that ignores SIGTERM is killed after the grace period.
func TestKilledAfterGrace(t *testing.T) {
	g := newGroup(t)
	s := serve(t, &Host{
		Path:  program(t, `trap '' TERM; exec 3>`+g.path+`; (sleep 1000) & echo ready >&3; sleep 1000`),
		grace: 10 * time.Millisecond,
	})
	c := s.send(t, 0, "")
	g.line(t, "ready")
	_ = c.Close()
	g.awaitEnd(t)
}

// SIGTERM comes before SIGKILL, so a program has time to clean up.
func TestTermBeforeKill(t *testing.T) {
	g := newGroup(t)
	s := serve(t, &Host{Path: program(t, `exec 3>`+g.path+`; trap 'echo clean >&3; exit' TERM; echo ready >&3; while :; do sleep 0.01; done`)})
	c := s.send(t, 0, "")
	g.line(t, "ready")
	_ = c.Close()
	if rest := g.awaitEnd(t); rest != "clean\n" {
		t.Errorf("the program wrote %q at its end", rest)
	}
}

// Once the whole Content-Length has been sent, a client that leaves no longer kills
// the program.
func TestClientMayGoAfterReply(t *testing.T) {
	g := newGroup(t)
	gate := newGate(t)
	s := serve(t, &Host{delay: soon, Path: program(t, `exec 3>`+g.path+`; printf 'Content-Length: 4\n\npage\n'; read x <`+gate.path+`; echo done >&3`)})
	c := s.send(t, 0, "")
	in := bufio.NewReader(c)
	for b := byte(0); b != 'e'; {
		if line, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		} else if line != "\r\n" {
			continue
		}
		page := make([]byte, 4)
		if _, err := io.ReadFull(in, page); err != nil || string(page) != "page" {
			t.Fatalf("got %q, %v", page, err)
		}
		b = page[3]
	}
	_ = c.Close()
	gate.open(t)
	g.line(t, "done")
}

func TestCloseKillsPrograms(t *testing.T) {
	g := newGroup(t)
	s := serve(t, &Host{Path: program(t, family(g)+"wait")})
	c := s.send(t, 0, "")
	g.line(t, "ready")
	if err := s.host.Close(); err != nil {
		t.Fatal(err)
	}
	g.awaitEnd(t)
	reply, err := io.ReadAll(c)
	if head := string(reply); err != nil || status(head) != "503" || !strings.Contains(head, "Retry-After: ") {
		t.Errorf("got %q, %v", head, err)
	}
}

// A process that has left the group can't be killed, but doesn't hold up the
// request.
func TestStrayDoesNotHoldRequest(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	g := newGroup(t)
	gate := newGate(t)
	s := serve(t, &Host{
		Path:  program(t, `exec 3>`+g.path+`; setsid sh -c 'echo ready >&3; read x <`+gate.path+`' & wait`),
		grace: 10 * time.Millisecond,
	})
	c := s.send(t, 0, "")
	g.line(t, "ready")
	_ = c.Close()
	if err := s.host.Close(); err != nil {
		t.Fatal(err)
	}
	gate.open(t) // the stray is still running
	g.awaitEnd(t)
}
