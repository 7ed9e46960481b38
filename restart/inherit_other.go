//go:build !unix

package restart

// inherit_other.go owns what is left where no process inherits sockets, as on
// Windows. Rule: it says so.

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// closeOnExec has nothing to do: no process is passed anything here.
func closeOnExec(int) {}

func duplicate(syscall.Conn) (*os.File, error) {
	return nil, fmt.Errorf("restart: passing sockets on: %w", errors.ErrUnsupported)
}
