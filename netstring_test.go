package scgi

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"example.com/scgi/internal/scgitest"
)

func TestCutNetstring(t *testing.T) {
	for _, test := range []struct {
		in         string
		max        int
		start, end int
		err        error
	}{
		{"", 9, 0, 0, nil},
		{"5", 9, 0, 0, nil},
		{"5:", 9, 2, 7, nil},
		{"5:hello", 9, 2, 7, nil},
		{"5:hello,", 9, 2, 7, nil},
		{"5:hello,more", 9, 2, 7, nil},
		{"0:,", 9, 2, 2, nil},
		{"0:", 0, 2, 2, nil},
		{"9:", 9, 2, 11, nil},
		{"10:", 9, 0, 0, errNetstringLimit},
		{"99:", 99, 3, 102, nil},
		{"100:", 99, 0, 0, errNetstringLimit},
		{"10", 9, 0, 0, errNetstringLimit},
		{"1:", 0, 0, 0, errNetstringLimit},
		{"99999999999999999999", math.MaxInt, 0, 0, errNetstringLimit},
		{"5:hello.", 9, 0, 0, errNetstringComma},
		{":", 9, 0, 0, errNetstringLength},
		{"00", 9, 0, 0, errNetstringLength},
		{"01:", 9, 0, 0, errNetstringLength},
		{"+1:", 9, 0, 0, errNetstringLength},
		{"-1:", 9, 0, 0, errNetstringLength},
		{"1_0:", 9, 0, 0, errNetstringLength},
		{"1 :", 9, 0, 0, errNetstringLength},
		{"\xb2:", 9, 0, 0, errNetstringLength},
	} {
		start, end, err := cutNetstring([]byte(test.in), test.max)
		if start != test.start || end != test.end || !errors.Is(err, test.err) {
			t.Errorf("cutNetstring(%q, %d) = %d, %d, %v; want %d, %d, %v", test.in, test.max, start, end, err, test.start, test.end, test.err)
		}
	}
}

// Invariants: cutNetstring never panics. A netstring that it finds lies within the limit
// and encodes to the bytes it was read from. What is refused or found in a prefix is also
// refused or found in the whole.
func FuzzNetstring(f *testing.F) {
	for _, v := range scgitest.Vectors(f) {
		f.Add([]byte(v.Input), 1000)
	}
	f.Fuzz(func(t *testing.T, b []byte, max int) {
		start, end, err := cutNetstring(b, max)
		if err == nil && end != 0 && (end-start > max || start < 2) {
			t.Fatalf("%d:%d is over %d", start, end, max)
		}
		for i := range b[:min(len(b), 64)] {
			s, e, prefixErr := cutNetstring(b[:i], max)
			if prefixErr != nil && prefixErr != err {
				t.Fatalf("%q is refused, then %q is not", b[:i], b)
			}
			if e != 0 && (s != start || e != end) && err == nil {
				t.Fatalf("%q and %q differ", b[:i], b)
			}
		}
		if err == nil && end != 0 && end < len(b) {
			if again := appendNetstring(nil, string(b[start:end])); string(again) != string(b[:end+1]) {
				t.Fatalf("%q encodes to %q", b[:end+1], again)
			}
		}
	})
}

func BenchmarkNetstring(b *testing.B) {
	in := appendNetstring(nil, strings.Repeat("x", 700))
	for b.Loop() {
		if _, end, err := cutNetstring(in, DefaultMaxHeaderBytes); err != nil || end == 0 {
			b.Fatal(err)
		}
	}
}

// appendNetstring appends s as a netstring to dst.
func appendNetstring(dst []byte, s string) []byte {
	return fmt.Appendf(dst, "%d:%s,", len(s), s)
}
