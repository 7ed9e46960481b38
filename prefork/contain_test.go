//go:build unix

package prefork

// contain_test.go tests User, Group and Chroot. Real processes give up root's rights, and
// bad settings are refused before any process starts.

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

// The ids of nobody and of another group.
func nobody(t *testing.T) (uid, gid, other int) {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	g, err := user.LookupGroup("daemon")
	if err != nil {
		t.Skip(err)
	}
	numbers := []*int{&uid, &gid, &other}
	for i, text := range []string{u.Uid, u.Gid, g.Gid} {
		if *numbers[i], err = strconv.Atoi(text); err != nil {
			t.Skip(err)
		}
	}
	return uid, gid, other
}

// who describes a process, in its own words.
type who struct {
	UID, GID, Pid int
	Groups        []int
	Root          []string // the files in its root folder
}

func (a *app) who() (w who) {
	a.t.Helper()
	text, err := a.get("/who")
	if err != nil {
		a.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		a.t.Fatal(err)
	}
	return w
}

// The program and the socket are outside the new root folder.
func TestContainedProcessServes(t *testing.T) {
	needRoot(t)
	uid, gid, other := nobody(t)
	jail := tempDir(t)
	makeFile(t, filepath.Join(jail, "only this"))
	for _, processes := range []int{0, 2} {
		for _, test := range []struct {
			r    role
			want who
		}{
			{role{User: "nobody"}, who{UID: uid, GID: gid}},
			{role{User: "nobody", Group: "daemon"}, who{UID: uid, GID: other}},
			{role{User: strconv.Itoa(uid), Group: strconv.Itoa(other)}, who{UID: uid, GID: other}},
			{role{User: "54321", Group: "12345"}, who{UID: 54321, GID: 12345}},
			{role{Group: "daemon"}, who{UID: 0, GID: other}},
			{role{User: "nobody", Chroot: jail}, who{UID: uid, GID: gid, Root: []string{"only this"}}},
		} {
			test.r.MaxProcesses = processes
			a := run(t, test.r)
			got := a.who()
			if isParent := got.Pid == a.cmd.Process.Pid; isParent != (processes == 0) {
				t.Errorf("%+v: served by process %d, the first is %d", test.r, got.Pid, a.cmd.Process.Pid)
			}
			if got.UID != test.want.UID || got.GID != test.want.GID {
				t.Errorf("%+v: runs as %d:%d", test.r, got.UID, got.GID)
			}
			if len(slices.DeleteFunc(got.Groups, func(g int) bool { return g == test.want.GID })) > 0 {
				t.Errorf("%+v: has groups %v", test.r, got.Groups)
			}
			if test.want.Root != nil && !slices.Equal(got.Root, test.want.Root) {
				t.Errorf("%+v: sees %q", test.r, got.Root)
			}
			a.end()
		}
	}
}

// Giving up root clears the parent-death signal, so the child sets it again.
func TestContainedChildDiesWithParent(t *testing.T) {
	needRoot(t)
	nobody(t)
	a := run(t, role{MaxProcesses: 2, MinProcesses: 2, User: "nobody", Chroot: tempDir(t)})
	a.awaitLog(2, "child is serving", nil)
	checkOrphans(t, a)
}

// The parent keeps its rights, so it can replace contained children and reload the program.
func TestContainedChildIsReplaced(t *testing.T) {
	needRoot(t)
	uid, _, _ := nobody(t)
	a := run(t, role{MaxProcesses: 1, User: "nobody", Chroot: tempDir(t)})
	pid := a.pid("/")
	_, _ = a.get("/exit/1")
	if w := a.who(); w.Pid == pid || w.UID != uid {
		t.Errorf("process %d runs as %d", w.Pid, w.UID)
	}
	a.signal(syscall.SIGHUP)
	a.awaitLog(1, "reloaded", nil)
	if w := a.who(); w.UID != uid {
		t.Errorf("process %d runs as %d", w.Pid, w.UID)
	}
	a.end()
}

// The HTTP front end of a contained program reaches it over TCP.
func TestContainedFrontEnd(t *testing.T) {
	needRoot(t)
	nobody(t)
	a := run(t, role{MaxProcesses: 1, User: "nobody", Chroot: tempDir(t), Addr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"})
	if pid := a.pidOverHTTP(); pid == a.cmd.Process.Pid {
		t.Error("the parent answered")
	}
	a.end()
}

func TestIdentityRefused(t *testing.T) {
	file := filepath.Join(tempDir(t), "file")
	makeFile(t, file)
	for _, test := range []struct {
		p    Program
		want error
	}{
		{Program{User: "no such user"}, user.UnknownUserError("no such user")},
		{Program{User: "54321"}, errNoGroup},
		{Program{User: "-1", Group: "daemon"}, user.UnknownUserError("-1")},
		{Program{User: "root"}, errRootUser},
		{Program{User: "0", Group: "daemon"}, errRootUser},
		{Program{User: "nobody", Group: "no such group"}, user.UnknownGroupError("no such group")},
		{Program{User: "nobody", Chroot: file}, syscall.ENOTDIR},
		{Program{User: "nobody", Chroot: file + ".missing"}, fs.ErrNotExist},
		{Program{Chroot: filepath.Dir(file)}, errRootChroot},
	} {
		test.p.Addr = "unix:" + file + ".sock"
		for _, processes := range []int{0, 1} {
			test.p.MaxProcesses = processes
			err := test.p.Run(t.Context())
			if !errors.Is(err, test.want) {
				t.Errorf("%+v: %v", test.p, err)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than a line", err)
			}
		}
	}
	if exists(file + ".sock") {
		t.Error("a socket was opened")
	}
}

// A process without root's rights can't change its user, but may name its own.
func TestIdentityWithoutRoot(t *testing.T) {
	needRoot(t)
	uid, gid, _ := nobody(t)
	dir := tempDir(t)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	program := otherVersion(t) // a copy that the user nobody may run
	asNobody := func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args[0] = program, program
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	addr := "unix:" + filepath.Join(dir, "s")
	a := launch(t, role{Addr: addr, User: "daemon"}, asNobody)
	if err := a.wait(); err == nil {
		t.Error("the program runs as another user")
	}
	a.awaitNoise(errNotRoot.Error())
	a = launch(t, role{Addr: addr, User: "nobody", MaxProcesses: 1}, asNobody)
	a.open()
	if w := a.who(); w.UID != uid {
		t.Errorf("runs as %d", w.UID)
	}
	a.end()
}
