//go:build unix

package prefork

// contain_unix.go owns the way from root to another identity. Rule: first the
// root folder, then the groups, then the user, and nothing is believed until the
// system has confirmed it.

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

var (
	errNotRoot   = errors.New("only root can give up its rights")
	errNotGiven  = errors.New("the system says that it has not")
	errComesBack = errors.New("the process could become root again")
)

// check reports whether this process may become id.
func (id *identity) check() error {
	if os.Geteuid() != 0 && !id.isOurs() {
		return errNotRoot
	}
	return nil
}

// isOurs reports whether there is nothing to do.
func (id *identity) isOurs() bool {
	return id.root == "" && (id.uid < 0 || id.uid == os.Getuid()) && (id.gid < 0 || id.gid == os.Getgid())
}

// assume makes all threads of this process run as id. A nil id changes nothing.
func (id *identity) assume() error {
	if id == nil || os.Geteuid() != 0 && id.isOurs() {
		return nil
	}
	_, _ = time.Now().Zone() // reads the time zone, which is out of sight afterwards
	if err := id.enterRoot(); err != nil {
		return fmt.Errorf("prefork: change the root folder: %w", err)
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

// verify asks the system who this process is, and tries to become root again.
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
			return fmt.Errorf("%w: group %d is left", errNotGiven, g)
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
