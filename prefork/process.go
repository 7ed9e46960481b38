package prefork

// process.go owns a child as its parent sees it: the two pipes, the process, and
// what is known of it. Rule: only the parent's loop touches it, beside the
// goroutine that reads and waits.

import (
	"os"
	"time"
)

type state int

const (
	starting state = iota // it has not called Run
	serving
	ending // it was asked to end
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
	why      string    // it was asked to end, or is killed
	started  time.Time // by the parent
	ready    time.Time // its first report
	heard    time.Time // its last report
	busy     time.Time // the last report that told of work
	report   report    // the last one
	good     bool      // it has shown that the program works
	memory   int64
	bounds   bounds
	silence  *time.Timer // runs when it is silent for too long
	deadline *time.Timer // for its start, or its end
}

// send gives a child a command. The pipe has room: commands are few, and a child
// that does not read them is found out by its silence.
func (c *process) send(command byte) {
	_ = c.commands.SetWriteDeadline(time.Now().Add(reportWait))
	_, _ = c.commands.Write([]byte{command})
}

func (c *process) age() time.Duration { return millis(time.Since(c.started)) }

// millis is d for people.
func millis(d time.Duration) time.Duration { return d - d%time.Millisecond }

// release lets go of all that belongs to a child that has ended.
func (c *process) release() {
	_ = c.commands.Close()
	_ = c.reports.Close()
	for _, t := range []*time.Timer{c.silence, c.deadline} {
		if t != nil {
			t.Stop()
		}
	}
}
