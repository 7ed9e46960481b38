package prefork

// report.go owns the words between a parent and its children. Rule: a report is
// one line, and what a child says is a stranger's word: a child may be contained
// because nobody trusts it.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"

	"example.com/scgi"
	"example.com/scgi/internal/status"
)

// maxReport bounds a line: twenty numbers and, where the status page asks for them,
// 16 URIs.
const maxReport = 16 << 10

// A report is what a child says of itself: when it begins to serve, then once a
// second, and when it is asked.
type report struct {
	Full   bool  // no worker is free
	Stuck  bool  // too many handlers are abandoned
	Leave  bool  // someone else has told the child to end
	Memory int64 // resident, or what the Go runtime holds
	Stats  scgi.Stats

	Requests []status.Request `json:",omitempty"` // under way; with StatusAddr
}

// A command is one byte.
const (
	reportNow = 'r' // send a report
	endShared = 'e' // end; what waits in the sockets is for others
	endLast   = 'l' // end, and answer what waits in the sockets
	endStuck  = 'q' // end like endShared, and write the stacks of the handlers that stay
)

func (r *report) line() []byte {
	line, err := json.Marshal(r)
	if err != nil || len(line) >= maxReport {
		line = []byte("{}") // it says at least that the child lives
	}
	return append(line, '\n')
}

// readReports calls use with each report that comes, until r ends or has
// something else in it.
func readReports(r io.Reader, use func(report)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxReport), maxReport)
	for lines.Scan() {
		var rep report
		if json.NewDecoder(bytes.NewReader(lines.Bytes())).Decode(&rep) != nil {
			return
		}
		use(rep)
	}
}
