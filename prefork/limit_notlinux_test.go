//go:build unix && !linux

package prefork

import (
	"errors"
	"os/exec"
	"testing"
)

// limitMemory is not available on this system.
func limitMemory(*testing.T, int64) (func(*exec.Cmd), error) { return nil, errors.ErrUnsupported }
