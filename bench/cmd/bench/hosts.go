//go:build linux

package main

// hosts.go compares scgi host with fcgiwrap: the same shell script behind the same
// nginx, and what each does when a script hangs. Both may run the same number of
// programs and get the same variables.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"example.com/scgi/bench/internal/address"
	"example.com/scgi/bench/load"
)

// programs is the number of programs that each host may run at a time.
const programs = 4

// pageScript is cgitime as a shell script. hangScript records its process ID and
// ends by itself after a minute, because not every host kills it.
const (
	pageScript = `#!/bin/sh
echo 'Status: 200 OK'
echo 'Content-Type: text/plain; charset=utf-8'
echo
echo "$REQUEST_METHOD $SCRIPT_FILENAME"
`
	hangScript = `#!/bin/sh
echo $$ >"$0.$$"
sleep 60
`
)

var hosts = []contestant{
	{name: "fcgiwrap", program: "fcgiwrap", nginx: strings.Replace(fcgiPass, "PARAM", scriptParam, 1)},
	{name: "scgi host", program: "scgi", nginx: strings.Replace(scgiPass, "PARAM", scriptParam, 1)},
}

const scriptParam = "PARAM SCRIPT_FILENAME FOLDER$document_uri; PARAM"

// hung says what a host did about hanging scripts whose clients have gone.
type hung struct {
	name string
	left int           // scripts that still ran after whatHangs
	next time.Duration // time to answer the next request; 0 if it got no answer
}

// whatHangs is how long the host has to kill hanging scripts, and then to answer
// the next request.
const whatHangs = 5 * time.Second

// compareHosts measures both hosts. The runs are longer because scripts answer
// fewer requests.
func (l *lab) compareHosts() (t table, hangs []hung, err error) {
	t, err = l.inTurn(l.scale.rounds, hosts, func(c contestant) (s sample, err error) {
		err = l.behindNginx(c, func(host, front *server) (err error) {
			s, err = l.sample(host, load.Config{Addr: front.addr, Protocol: "http", Keep: true, Flight: 2 * programs, Duration: 4 * l.scale.duration}, front)
			return err
		})
		return s, err
	})
	if err != nil {
		return nil, nil, err
	}
	for _, c := range hosts {
		h := hung{name: c.name}
		if err := l.behindNginx(c, func(_, front *server) error { return l.hang(front.addr, &h) }); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.name, err)
		}
		hangs = append(hangs, h)
	}
	return t, hangs, nil
}

func (l *lab) scripts() string { return filepath.Join(l.dir, "cgi-bin") }

// behindNginx serves the scripts with host c behind nginx while use runs.
func (l *lab) behindNginx(c contestant, use func(host, front *server) error) error {
	for name, text := range map[string]string{"time": pageScript, "hang": hangScript} {
		path := filepath.Join(l.scripts(), name)
		if err := errors.Join(writeFile(path, text), os.Chmod(path, 0o755)); err != nil {
			return err
		}
	}
	addr, n := l.addr("unix"), strconv.Itoa(programs)
	cmd := l.pinned(lastCPU, "fcgiwrap", "-c", n, "-s", addr)
	if c.program == "scgi" {
		cmd = l.pinned(lastCPU, filepath.Join(l.dir, "scgi"), "host", "-workers", n, "-scgi", addr, l.scripts())
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	host := &server{cmd: cmd, addr: addr}
	defer host.end()
	c.nginx = strings.Replace(c.nginx, "FOLDER", l.scripts(), 1)
	front, err := l.startNginx(c, addr)
	if err != nil {
		return err
	}
	defer front.end()
	return use(host, front)
}

// hang occupies all of the host's programs with hanging scripts and closes their
// connections. After whatHangs it counts the scripts that still run, and checks
// whether the host answers.
func (l *lab) hang(front string, h *hung) error {
	network, addr := address.Split(front)
	for range programs {
		c, err := net.Dial(network, addr)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /hang HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		time.AfterFunc(time.Second, func() { _ = c.Close() })
	}
	time.Sleep(time.Second + whatHangs)
	pids, err := filepath.Glob(filepath.Join(l.scripts(), "hang.*"))
	if err != nil {
		return err
	}
	for _, path := range pids {
		_, pid, _ := strings.Cut(filepath.Base(path), ".")
		if _, err := os.Stat("/proc/" + pid); err == nil {
			h.left++
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		_ = os.Remove(path)
	}
	began := time.Now()
	answered := make(chan error, 1)
	go func() { answered <- load.Ask(load.Config{Addr: front, Protocol: "http"}) }()
	select {
	case err := <-answered:
		h.next = time.Since(began)
		return err
	case <-time.After(whatHangs):
		return nil // stopping nginx ends the goroutine
	}
}

func writeHosts(b *strings.Builder, t table, hangs []hung) {
	// The table has no processor time, because that of fcgiwrap's programs is not
	// accounted to it. All share one busy processor, so requests/s shows the cost.
	fmt.Fprintf(b, "\n### A shell script, %d at a time, behind nginx on the same processor\n\n| host | requests/s | | p50 | p99 |\n|---|--:|--:|--:|--:|\n", programs)
	for _, r := range t {
		fmt.Fprintf(b, "| %s | %.0f | **%.2f** | %s | %s |\n", r.name, r.median(perSecond), r.ratio(t[0], perSecond), micros(r.median(halfTime)), micros(r.median(slowest)))
	}
	fmt.Fprintf(b, "\n### %d hanging scripts whose clients have gone\n\n| host | scripts left after %v | the next request |\n|---|--:|---|\n", programs, whatHangs)
	for _, h := range hangs {
		next := fmt.Sprintf("is not answered in %v", whatHangs)
		if h.next > 0 {
			next = "is answered in " + micros(float64(h.next.Microseconds()))
		}
		fmt.Fprintf(b, "| %s | %d | %s |\n", h.name, h.left, next)
	}
}
