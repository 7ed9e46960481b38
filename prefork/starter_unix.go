//go:build unix

package prefork

// starter_unix.go starts children. One thread starts all of them and lives as
// long as the parent, because on Linux the parent-death signal is sent when the
// thread that started a process ends (golang/go#27505).

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

const canPassSockets = true

type starter struct{ jobs chan func() }

func newStarter() *starter {
	st := &starter{make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range st.jobs {
			job()
		}
	}()
	return st
}

// close ends the thread. No child may be running.
func (st *starter) close() { close(st.jobs) }

// start starts a child of exe with the sockets of k.
func (st *starter) start(exe *executable, k *sockets) (c *process, err error) {
	done := make(chan struct{})
	st.jobs <- func() {
		defer close(done)
		c, err = startProcess(exe, k)
	}
	<-done
	return c, err
}

func startProcess(exe *executable, k *sockets) (*process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	commands, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer commands.Close()
	hear, reports, err := os.Pipe()
	if err != nil {
		_ = tell.Close()
		return nil, err
	}
	defer reports.Close()
	files := append([]*os.File{null, os.Stdout, os.Stderr}, commands, reports, null)
	p, err := exe.exec(files, k)
	if err != nil {
		_, _ = tell.Close(), hear.Close()
		return nil, err
	}
	return &process{Process: p, exe: exe, commands: tell, reports: hear, started: time.Now()}, nil
}

// exec starts a process with files and then the sockets of k. The process leads
// its own process group, so only the parent gets what a terminal sends to its
// foreground group.
func (e *executable) exec(files []*os.File, k *sockets) (*os.Process, error) {
	path := program.path
	if e.file != nil {
		path, files[programFD] = fmt.Sprint("/proc/self/fd/", programFD), e.file
	}
	var fds []uintptr
	for _, f := range files {
		fds = append(fds, f.Fd())
	}
	for _, fd := range k.fds {
		fds = append(fds, uintptr(fd))
	}
	legacy, err := json.Marshal(k.legacy)
	if err != nil {
		return nil, err
	}
	pid, err := syscall.ForkExec(path, program.args, &syscall.ProcAttr{
		Dir: program.dir, Env: environ(string(legacy)), Files: fds, Sys: childAttr(),
	})
	runtime.KeepAlive(files)
	if err != nil {
		return nil, &os.PathError{Op: "start", Path: program.path, Err: err}
	}
	return os.FindProcess(pid)
}
