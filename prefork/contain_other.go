//go:build !unix

package prefork

import (
	"errors"
	"fmt"
)

// check refuses every identity: this system has no users, groups or chroot.
func (id *identity) check() error {
	return fmt.Errorf("User, Group and Chroot: %w", errors.ErrUnsupported)
}

func (id *identity) assume() error { return nil }
