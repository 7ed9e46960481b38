package gateway

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"example.com/scgi/internal/leak"
	"example.com/scgi/internal/scgitest"
)

// A full disk fails the request, but the error does not blame the request.
func TestSpoolFullDisk(t *testing.T) {
	leak.TempFiles(t)
	scgitest.LimitFileSize(t, spoolMemory)
	_, err := new(Transport).spool(t.Context(), newRequestBody(io.NopCloser(io.LimitReader(zeroSource{}, 8*spoolMemory))))
	var fault *requestError
	if !errors.Is(err, syscall.EFBIG) || !errors.Is(err, errSpoolDisk) || errors.As(err, &fault) {
		t.Errorf("got %v, want the disk's error, not as the request's fault", err)
	}
}
