//go:build linux

package main

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// Quick mode measures everything once. A missing figure would show as 0.00.
func TestBenchChildren(t *testing.T) {
	if _, err := exec.LookPath("taskset"); err != nil || runtime.NumCPU() < 2 {
		t.Skip("needs taskset and two processors")
	}
	t.Chdir("../..") // the folder of the module, where the programs are built
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
