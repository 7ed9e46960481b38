//go:build !unix

package prefork

import (
	"errors"
	"fmt"
)

// check refuses every identity: there is nothing like it here.
func (id *identity) check() error {
	return fmt.Errorf("User, Group and Chroot: %w", errors.ErrUnsupported)
}

func (id *identity) assume() error { return nil }
