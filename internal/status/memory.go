package status

// memory.go measures the memory of a process.

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"runtime/metrics"
	"strconv"
)

// Resident returns the resident memory of process pid in bytes, or 0 if the system doesn't
// report it. Linux does.
func Resident(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}

// OwnMemory returns this process's resident memory or, where the system doesn't report it,
// the memory that the Go runtime has from the system.
func OwnMemory() int64 { return cmp.Or(Resident(os.Getpid()), goMemory()) }

func goMemory() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
