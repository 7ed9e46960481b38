//go:build linux

package main

// lab.go builds the programs once, starts and stops the servers, and runs the
// load. No process outlives the lab. Servers run on the last processor and the
// load on the first, so that neither takes the other's time, unless a measurement
// is about all processors.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"example.com/scgi/bench/load"
)

type lab struct {
	ctx   context.Context
	scale scale
	dir   string
	count int  // sockets named so far
	wide  bool // servers and load run on all processors
}

func newLab(ctx context.Context, s scale) (*lab, error) {
	if runtime.NumCPU() < 2 {
		return nil, errors.New("the benchmark needs two processors: one for the server, one for the load")
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	l := &lab{ctx: ctx, scale: s.within(descriptorLimit()), dir: dir}
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", "./cmd/subject", "./cmd/rival", "./cmd/load", "./cmd/cgitime", "example.com/scgi/cmd/scgi")
	if out, err := build.CombinedOutput(); err != nil {
		l.close()
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return l, nil
}

// descriptorLimit returns the hard limit, to which a Go program raises its own
// limit when it starts.
func descriptorLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Max, 1<<30))
}

func (l *lab) close() { _ = os.RemoveAll(l.dir) }

// socket returns the path of a new socket.
func (l *lab) socket() string {
	l.count++
	return filepath.Join(l.dir, "s"+strconv.Itoa(l.count))
}

// addr returns an address for a server to listen on.
func (l *lab) addr(network string) string {
	if network == "unix" {
		return "unix:" + l.socket()
	}
	return "127.0.0.1:0"
}

var firstCPU, lastCPU = "0", strconv.Itoa(runtime.NumCPU() - 1)

func (l *lab) pinned(cpu, program string, args ...string) *exec.Cmd {
	if l.wide {
		cpu = firstCPU + "-" + lastCPU
	}
	return exec.CommandContext(l.ctx, "taskset", append([]string{"-c", cpu, program}, args...)...)
}

func (l *lab) command(c contestant, addr string) (program string, args []string) {
	args = append(append(args, c.args...), addr)
	if c.program == "rival" {
		args = append(args, "-program", filepath.Join(l.dir, "cgitime"))
	}
	return filepath.Join(l.dir, c.program), args
}

// start starts c on the last processor and waits until it listens.
func (l *lab) start(c contestant, network string) (*server, error) {
	program, args := l.command(c, l.addr(network))
	cmd := l.pinned(lastCPU, program, args...)
	cmd.Stderr, cmd.Env = os.Stderr, append(os.Environ(), c.env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.end()
		return nil, fmt.Errorf("%s printed no address: %w", c.name, err)
	}
	s.addr = strings.TrimSpace(line)
	return s, nil
}

// load runs the load c on the first processor.
func (l *lab) load(c load.Config) (r load.Result, err error) {
	err = l.runLoad(&r, "-addr", c.Addr, "-protocol", c.Protocol, "-keep="+strconv.FormatBool(c.Keep),
		"-flight", strconv.Itoa(c.Flight), "-rate", fmt.Sprint(c.Rate), "-duration", c.Duration.String(),
		"-header", strconv.Itoa(c.HeaderBytes), "-body", strconv.Itoa(c.BodyBytes))
	if err == nil && (r.Requests == 0 || r.Failed > 0) {
		err = fmt.Errorf("%d requests answered, %d failed", r.Requests, r.Failed)
	}
	return r, err
}

func (l *lab) runLoad(result any, args ...string) error {
	out, err := l.pinned(firstCPU, filepath.Join(l.dir, "load"), args...).Output()
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return fmt.Errorf("load: %w: %s", err, bytes.TrimSpace(e.Stderr))
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(out, result)
}

// server is a server process and its children.
type server struct {
	cmd  *exec.Cmd
	addr string
}

func (s *server) end() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(5*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	_ = s.cmd.Wait()
}

// cpu returns the processor time that s and its children have used, including
// children that have exited.
func (s *server) cpu() time.Duration { return cpuOf(s.cmd.Process.Pid) }

func cpuOf(pid int) time.Duration {
	const tick = time.Second / 100 // USER_HZ is 100 on every Linux
	sum := clockOf(pid)
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(stat), ") ")
	if fields := strings.Fields(after); len(fields) > 14 {
		for _, f := range fields[13:15] { // cutime, cstime
			n, _ := strconv.Atoi(f)
			sum += time.Duration(n) * tick
		}
	}
	for _, child := range childrenOf(pid) {
		sum += cpuOf(child)
	}
	return sum
}

// clockOf returns the processor time of a process without its children. It has
// nanosecond resolution, because a short run has few ticks.
func clockOf(pid int) time.Duration {
	clock := ^pid<<3 | 2 // what clock_getcpuclockid(3) returns
	var t syscall.Timespec
	_, _, _ = syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano())
}

// childrenOf reads the list of each thread, because to Linux the parent of a
// process is the thread that started it.
func childrenOf(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(text)) {
			id, _ := strconv.Atoi(child)
			pids = append(pids, id)
		}
	}
	return pids
}

// memory returns a value of /proc/PID/status in bytes, such as VmRSS or its peak,
// VmHWM.
func (s *server) memory(key string) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	return bytesOf(string(status), key)
}

// bytesOf finds "key: N kB" in text and returns N in bytes.
func bytesOf(text, key string) int64 {
	_, after, _ := strings.Cut(text, key+":")
	var kib int64
	_, _ = fmt.Sscan(after, &kib)
	return kib << 10
}

// machine describes this machine in one line.
func machine() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	_, model, _ := strings.Cut(string(info), "model name\t: ")
	model, _, _ = strings.Cut(model, "\n")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	line := fmt.Sprintf("%s, %d processors, Linux %s, %s", model, runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version())
	if v, err := exec.Command("nginx", "-v").CombinedOutput(); err == nil {
		line += ", " + strings.TrimPrefix(strings.TrimSpace(string(v)), "nginx version: ")
	}
	return line
}
