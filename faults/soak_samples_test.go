package faults

// soak_samples_test.go measures the process while TestSoak runs. What the server holds must
// not grow with the number of requests that it has served.

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A sample is a measurement of the process at one moment.
type sample struct {
	after                 time.Duration
	requests              int64
	resident, heap        int64 // bytes
	goroutines, openFiles int64
}

func takeSample(after time.Duration, requests int64) sample {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return sample{after, requests, residentBytes(), int64(m.HeapAlloc), int64(runtime.NumGoroutine()), int64(descriptors())}
}

// residentBytes returns the resident memory of the process, on systems that report it.
func residentBytes() int64 {
	var size, resident int64
	text, _ := os.ReadFile("/proc/self/statm")
	fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// watchSoak takes samples until stop is called, which returns them.
func watchSoak(every time.Duration, requests func() int64) (stop func() []sample) {
	var samples []sample
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		began := time.Now()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				samples = append(samples, takeSample(time.Since(began), requests()))
			}
		}
	}()
	return func() []sample {
		close(quit)
		<-done
		return samples
	}
}

// checkFlat compares the highest sample of the last third with that of the second third,
// when the pools are full.
func checkFlat(t *testing.T, samples []sample) {
	third := len(samples) / 3
	for name, of := range map[string]func(sample) int64{
		"resident":   func(s sample) int64 { return s.resident },
		"heap":       func(s sample) int64 { return s.heap },
		"goroutines": func(s sample) int64 { return s.goroutines },
		"files":      func(s sample) int64 { return s.openFiles },
	} {
		before, after := highest(samples[third:2*third], of), highest(samples[2*third:], of)
		t.Logf("%s: at most %d in the second third, %d in the last", name, before, after)
		if after > before+before/2 {
			t.Errorf("%s grew from %d to %d", name, before, after)
		}
	}
}

func highest(samples []sample, of func(sample) int64) (high int64) {
	for _, s := range samples {
		high = max(high, of(s))
	}
	return high
}

// writeSamples writes the table that bench/cmd/soakplot reads.
func writeSamples(name string, samples []sample) error {
	var b strings.Builder
	b.WriteString("seconds,requests,resident,heap,goroutines,descriptors\n")
	for _, s := range samples {
		fmt.Fprintf(&b, "%.1f,%d,%d,%d,%d,%d\n", s.after.Seconds(), s.requests, s.resident, s.heap, s.goroutines, s.openFiles)
	}
	return os.WriteFile(name, []byte(b.String()), 0o644)
}
