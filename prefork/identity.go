package prefork

// identity.go resolves User, Group and Chroot. It looks everything up while the
// process can still see the files.

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

var (
	errRootUser   = errors.New("the user must not be root")
	errRootChroot = errors.New("a chroot needs a user: root can leave any root directory")
	errNoGroup    = errors.New("a numeric User without a user entry needs Group")
)

// An identity is the user, the groups and the root directory to run with.
type identity struct {
	uid, gid int   // -1: unchanged
	groups   []int // all groups, gid included; nil: unchanged
	root     string
}

// identity returns nil if nothing is to change.
func (p *Program) identity() (*identity, error) {
	if p.User == "" && p.Group == "" && p.Chroot == "" {
		return nil, nil
	}
	id := &identity{uid: -1, gid: -1}
	if err := id.setUser(p.User, p.Group != ""); err != nil {
		return nil, fmt.Errorf("user %.100q: %w", p.User, err)
	}
	if err := id.setGroup(p.Group); err != nil {
		return nil, fmt.Errorf("group %.100q: %w", p.Group, err)
	}
	if err := id.setRoot(p.Chroot); err != nil {
		return nil, fmt.Errorf("chroot %.200q: %w", p.Chroot, err)
	}
	return id, id.check()
}

func (id *identity) setUser(name string, hasGroup bool) error {
	if name == "" {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if byID, idErr := user.LookupId(name); idErr == nil {
			u, err = byID, nil
		}
	}
	if err != nil {
		return id.setUnknownUser(name, hasGroup, err)
	}
	if id.uid, err = strconv.Atoi(u.Uid); err != nil {
		return err
	}
	if id.uid == 0 {
		return errRootUser
	}
	if id.gid, err = strconv.Atoi(u.Gid); err != nil {
		return err
	}
	return id.setGroups(u)
}

// setUnknownUser takes a number without a user entry, for containers, which have
// few.
func (id *identity) setUnknownUser(name string, hasGroup bool, unknown error) error {
	uid, err := strconv.ParseInt(name, 10, 31)
	switch {
	case err != nil || uid < 0:
		return unknown
	case uid == 0:
		return errRootUser
	case !hasGroup:
		return errNoGroup
	}
	id.uid, id.groups = int(uid), []int{}
	return nil
}

func (id *identity) setGroups(u *user.User) error {
	names, err := u.GroupIds()
	if err != nil {
		return err
	}
	id.groups = []int{}
	for _, name := range names {
		gid, err := strconv.Atoi(name)
		if err != nil {
			return err
		}
		id.groups = append(id.groups, gid)
	}
	return nil
}

func (id *identity) setGroup(name string) error {
	if name == "" {
		return nil
	}
	text := name
	g, err := user.LookupGroup(name)
	if err == nil {
		text = g.Gid
	}
	gid, numErr := strconv.ParseInt(text, 10, 31)
	if numErr != nil || gid < 0 {
		return err
	}
	// Group replaces the user's primary group.
	id.groups = slices.DeleteFunc(id.groups, func(g int) bool { return g == id.gid })
	id.gid = int(gid)
	return nil
}

func (id *identity) setRoot(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	if !info.IsDir() {
		return syscall.ENOTDIR
	}
	if id.uid < 0 {
		return errRootChroot
	}
	id.root, err = filepath.Abs(path)
	return err
}
