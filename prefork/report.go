package prefork

// report.go is the protocol between a parent and its children. A report is one
// line, and the parent trusts none of it: a contained child may be hostile.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"

	"example.com/scgi"
	"example.com/scgi/internal/status"
)

// maxReport bounds a line: twenty numbers and, with StatusAddr, 16 URIs.
const maxReport = 16 << 10

// A report is the state of a child, sent when it starts to serve, then once a
// second, and on request.
type report struct {
	Full   bool  // no worker is free
	Stuck  bool  // too many handlers are abandoned
	Leave  bool  // someone other than the parent has asked the child to exit
	Memory int64 // resident memory, or the Go runtime's
	Stats  scgi.Stats

	Requests []status.Request `json:",omitempty"` // under way; only with StatusAddr
}

// A command is one byte.
const (
	reportNow = 'r' // send a report
	endShared = 'e' // exit; siblings take the connections in the sockets
	endLast   = 'l' // exit after serving the connections in the sockets
	endStuck  = 'q' // like endShared, and write the stacks of the handlers that stay
)

func (r *report) line() []byte {
	line, err := json.Marshal(r)
	if err != nil || len(line) >= maxReport {
		line = []byte("{}") // still shows that the child is alive
	}
	return append(line, '\n')
}

// readReports calls use with each report, until r ends or holds something else.
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
