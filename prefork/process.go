package prefork

// process.go is a child as its parent sees it: two pipes, a process and its
// reports. Only the parent's loop and the goroutine that reads and waits touch
// it.

import (
	"os"
	"time"
)

type state int

const (
	starting state = iota // it has not called Run
	serving
	ending // it was asked to exit
	hung   // it was told to write its stacks, and will be killed
)

func (s state) String() string {
	return [...]string{"starting", "serving", "ending", "hung"}[s]
}

type process struct {
	*os.Process
	exe      *executable
	commands *os.File
	reports  *os.File

	state    state
	why      string    // why it was asked to exit or was killed
	started  time.Time // when the parent started it
	ready    time.Time // when its first report arrived
	heard    time.Time // when its last report arrived
	busy     time.Time // when a report last told of work
	report   report    // the last report
	good     bool      // it has proved that the program works
	memory   int64
	bounds   bounds
	silence  *time.Timer // fires when it has been silent for too long
	deadline *time.Timer // of its start, or of its exit
}

// send writes a command. The pipe has room: commands are few, and a child that
// does not read them is found by its silence.
func (c *process) send(command byte) {
	_ = c.commands.SetWriteDeadline(time.Now().Add(reportWait))
	_, _ = c.commands.Write([]byte{command})
}

func (c *process) age() time.Duration { return millis(time.Since(c.started)) }

// millis rounds d for people.
func millis(d time.Duration) time.Duration { return d - d%time.Millisecond }

// release frees the resources of a child that has exited.
func (c *process) release() {
	_ = c.commands.Close()
	_ = c.reports.Close()
	for _, t := range []*time.Timer{c.silence, c.deadline} {
		if t != nil {
			t.Stop()
		}
	}
}
