package leak

import "testing"

func TestGoroutinesFindsLeak(t *testing.T) {
	Goroutines(t)
	before := goroutines()
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	running := make(chan struct{})
	go func() { close(running); <-stop }()
	<-running
	if n := len(newGoroutines(before)); n != 1 {
		t.Errorf("%d new goroutines seen, want 1", n)
	}
}
