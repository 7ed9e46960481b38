//go:build !unix

package main

import (
	"errors"
	"flag"
	"fmt"
)

// host needs process groups to kill programs, so it exists only on Unix.
type host struct{}

func (*host) help() string         { return "scgi host needs a Unix system.\n" }
func (*host) define(*flag.FlagSet) {}

func (*host) run([]string) error {
	return fmt.Errorf("%w: it needs a Unix system", errors.ErrUnsupported)
}
