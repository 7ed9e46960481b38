//go:build unix

package prefork

// contain_unix.go gives up root: it changes the root directory, then the groups,
// then the user, and asks the system to confirm each step.

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

var (
	errNotRoot   = errors.New("changing the user, group or root directory needs root")
	errNotGiven  = errors.New("the change did not take effect")
	errComesBack = errors.New("the process could become root again")
)

// check reports whether this process may become id.
func (id *identity) check() error {
	if os.Geteuid() != 0 && !id.isOurs() {
		return errNotRoot
	}
	return nil
}

// isOurs reports whether the process already runs as id.
func (id *identity) isOurs() bool {
	return id.root == "" && (id.uid < 0 || id.uid == os.Getuid()) && (id.gid < 0 || id.gid == os.Getgid())
}

// assume makes all threads of this process run as id. A nil id changes nothing.
func (id *identity) assume() error {
	if id == nil || os.Geteuid() != 0 && id.isOurs() {
		return nil
	}
	_, _ = time.Now().Zone() // loads the time zone, whose file is out of reach after the chroot
	if err := id.enterRoot(); err != nil {
		return fmt.Errorf("prefork: change the root directory: %w", err)
	}
	if err := id.setIDs(); err != nil {
		return fmt.Errorf("prefork: give up root: %w", err)
	}
	if err := id.verify(); err != nil {
		return fmt.Errorf("prefork: give up root: %w", err)
	}
	return nil
}

func (id *identity) enterRoot() error {
	if id.root == "" {
		return nil
	}
	want, err := os.Stat(id.root)
	if err != nil {
		return err
	}
	if err := syscall.Chroot(id.root); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if got, err := os.Stat("/"); err != nil || !os.SameFile(got, want) {
		return errNotGiven
	}
	return nil
}

func (id *identity) setIDs() error {
	if id.groups == nil && id.gid >= 0 {
		id.groups = []int{}
	}
	if err := syscall.Setgroups(id.groups); err != nil {
		return os.NewSyscallError("setgroups", err)
	}
	if id.gid >= 0 {
		if err := syscall.Setgid(id.gid); err != nil {
			return os.NewSyscallError("setgid", err)
		}
	}
	if id.uid >= 0 {
		if err := syscall.Setuid(id.uid); err != nil {
			return os.NewSyscallError("setuid", err)
		}
	}
	return nil
}

// verify asks the system who this process is, and checks that it can't become
// root again.
func (id *identity) verify() error {
	if id.gid >= 0 && (os.Getgid() != id.gid || os.Getegid() != id.gid) {
		return fmt.Errorf("%w: group %d", errNotGiven, id.gid)
	}
	groups, err := os.Getgroups()
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g != id.gid && !slices.Contains(id.groups, g) {
			return fmt.Errorf("%w: group %d remains", errNotGiven, g)
		}
	}
	if id.uid < 0 {
		return nil
	}
	if os.Getuid() != id.uid || os.Geteuid() != id.uid {
		return fmt.Errorf("%w: user %d", errNotGiven, id.uid)
	}
	if syscall.Setuid(0) == nil {
		return errComesBack
	}
	return nil
}
