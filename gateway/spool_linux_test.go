package gateway

import (
	"errors"
	"io"
	"os/signal"
	"syscall"
	"testing"

	"example.com/scgi/internal/leak"
)

// A full disk fails the request, but not as the request's fault.
func TestSpoolFullDisk(t *testing.T) {
	leak.TempFiles(t)
	limitFileSize(t, spoolMemory)
	_, err := new(Transport).spool(t.Context(), newRequestBody(io.NopCloser(io.LimitReader(zeroSource{}, 8*spoolMemory))))
	var fault *requestError
	if !errors.Is(err, syscall.EFBIG) || !errors.Is(err, errSpoolDisk) || errors.As(err, &fault) {
		t.Errorf("got %v, want the disk's error, not as the request's fault", err)
	}
}

// limitFileSize makes writes fail beyond size bytes of a file, like a full disk.
func limitFileSize(t *testing.T, size uint64) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	limit := was
	limit.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Error(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	})
}
