package gateway

// spool_test.go tests bodies that are read to their end before they are sent.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/scgi/internal/leak"
)

func TestTransportSpools(t *testing.T) {
	for _, size := range []int{0, 1, spoolMemory - 1, spoolMemory, spoolMemory + 1, 3 * spoolMemory} {
		for _, length := range []int64{0, -1} {
			t.Run(fmt.Sprint(size, length), func(t *testing.T) {
				leak.TempFiles(t)
				leak.Goroutines(t)
				var got string
				addr := fakeServer(t, "tcp", func(c *fakeConn) {
					_, got = c.request()
					c.send("\n")
				})
				data := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
				body := newSourceBody(bytes.NewReader(data))
				req, _ := http.NewRequest("POST", "http://fe.test/", body)
				req.ContentLength = length
				resp, err := (&Transport{Addr: addr, MaxSpoolBytes: int64(max(size, 1))}).RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatal(err)
				}
				if got != string(data) {
					t.Errorf("%d bytes arrived, not the %d that were sent", len(got), size)
				}
				body.wantClosed(t)
			})
		}
	}
}

// No file is left behind if the context ends at the same time as the body.
func TestTransportSpoolCancelled(t *testing.T) {
	for range 20 {
		leak.TempFiles(t)
		leak.Goroutines(t)
		ctx, cancel := context.WithCancel(t.Context())
		body := newSourceBody(io.MultiReader(io.LimitReader(zeroSource{}, 2*spoolMemory), readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, io.EOF
		})))
		if s, err := (&Transport{MaxSpoolBytes: -1}).spool(ctx, newRequestBody(body)); err == nil {
			s.Close()
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		body.wantClosed(t)
	}
}

func TestTransportSpoolLimit(t *testing.T) {
	for _, limit := range []int64{1, 100, spoolMemory, spoolMemory + 1, 2 * spoolMemory} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			leak.TempFiles(t)
			s, err := (&Transport{MaxSpoolBytes: limit}).spool(t.Context(), newRequestBody(io.NopCloser(bytes.NewReader(make([]byte, limit+1)))))
			var tooLong *http.MaxBytesError
			if !errors.As(err, &tooLong) || tooLong.Limit != limit || s != nil {
				t.Errorf("got %v, want an http.MaxBytesError of %d", err, limit)
			}
		})
	}
	s, err := (&Transport{MaxSpoolBytes: -1}).spool(t.Context(), newRequestBody(io.NopCloser(strings.NewReader("abc"))))
	if err != nil || s.size != 3 {
		t.Errorf("without a limit: %v, %v", s, err)
	}
}

func TestTransportSpoolNoDisk(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	t.Setenv("TMPDIR", missing)
	t.Setenv("TMP", missing)
	_, err := (&Transport{MaxSpoolBytes: -1}).spool(t.Context(), newRequestBody(io.NopCloser(bytes.NewReader(make([]byte, 2*spoolMemory)))))
	var fault *requestError
	if !errors.Is(err, os.ErrNotExist) || !errors.Is(err, errSpoolDisk) || errors.As(err, &fault) {
		t.Errorf("got %v, want os.ErrNotExist, not as the request's fault", err)
	}
}

// MaxSpools bounds the bodies spooled at one time, and Close returns a place only once.
func TestTransportMaxSpools(t *testing.T) {
	for limit, want := range map[int]int{0: defaultMaxSpools, 3: 3, -1: 2 * defaultMaxSpools} {
		tr := &Transport{MaxSpools: limit}
		var held []*spooled
		body := newSourceBody(strings.NewReader("x"))
		var err error
		for err == nil && len(held) < 2*defaultMaxSpools {
			var s *spooled
			if s, err = tr.spool(t.Context(), newRequestBody(body)); err == nil {
				held = append(held, s)
			}
		}
		if len(held) != want || (limit < 0) != (err == nil) || err != nil && !errors.Is(err, errSpools) {
			t.Errorf("MaxSpools %d: %d at one time, then %v", limit, len(held), err)
		}
		body.wantClosed(t)
		_, _ = held[0].Close(), held[0].Close()
		for i := range 2 {
			_, err := tr.spool(t.Context(), newRequestBody(http.NoBody))
			if free := i == 0 || limit < 0; free != (err == nil) {
				t.Errorf("MaxSpools %d: request %d after a body was closed: %v", limit, i, err)
			}
		}
	}
}
