//go:build !unix

package prefork

// sys_other.go is for systems on which processes inherit no sockets, such as
// Windows. A program runs there without children; a Program that needs them fails
// before it opens anything.

import (
	"errors"
	"os"
	"os/signal"
)

const canPassSockets = false

type starter struct{}

func newStarter() *starter { return nil }

func (*starter) close() {}

func (*starter) start(*executable, *sockets) (*process, error) { return nil, errors.ErrUnsupported }

func closeOnExec(int) {}

func closeFD(int) {}

func nonblocking(int, string) (*os.File, error) { return nil, errors.ErrUnsupported }

func readFD(int, []byte) int { return 0 }

func parentSignals() (<-chan os.Signal, func()) { return endSignals() }

func endSignals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 4)
	signal.Notify(c, os.Interrupt)
	return c, func() { signal.Stop(c) }
}

func survive() func() { return func() {} }

func surviveReload() func() { return func() {} }

func isReload(os.Signal) bool { return false }

func quit() {}

func quitProcess(*os.Process) {}

func killLeft(int) {}

func isKilled(*os.ProcessState) bool { return false }
