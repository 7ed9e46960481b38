//go:build linux

package main

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// The quick mode measures everything once. A figure that is missing is 0.00.
func TestBenchChildren(t *testing.T) {
	if _, err := exec.LookPath("taskset"); err != nil || runtime.NumCPU() < 2 {
		t.Skip("it takes taskset and two processors")
	}
	t.Chdir("../..") // the module, whose programs are built
	var out strings.Builder
	if err := benchChildren(t.Context(), true, &out); err != nil {
		t.Fatal(err)
	}
	for _, none := range []string{"**0.00**", "| 0.0 ", " 0/s", "NaN"} {
		if strings.Contains(out.String(), none) {
			t.Errorf("%q is in\n%s", none, &out)
		}
	}
}
