package gateway

// spool.go reads request bodies to their end before they are sent. It bounds their size and
// number, and removes their files.

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"sync"
)

// spoolMemory is the part of a spooled body that stays in memory.
const spoolMemory = 32 << 10

var (
	errSpools    = errors.New("gateway: too many request bodies are spooled at one time")
	errSpoolDisk = errors.New("gateway: the request's body can't be stored")
)

// spooled is a body that was read to its end. Close is safe while another goroutine reads.
type spooled struct {
	io.Reader
	size  int64
	file  *os.File // nil if the body fits into memory
	place func()   // returns the place in Transport.spools, once
}

// newSpool takes a place for a body. Close returns the place.
func (t *Transport) newSpool() (*spooled, error) {
	most := int64(cmp.Or(t.MaxSpools, defaultMaxSpools))
	if n := t.spools.Add(1); most >= 0 && n > most {
		t.spools.Add(-1)
		return nil, errSpools
	}
	return &spooled{place: sync.OnceFunc(func() { t.spools.Add(-1) })}, nil
}

// maxSpool returns the largest size of a spooled body.
func (t *Transport) maxSpool() int64 {
	if t.MaxSpoolBytes < 0 {
		return math.MaxInt64 - 1
	}
	return cmp.Or(t.MaxSpoolBytes, defaultMaxSpoolBytes)
}

func tooLong(limit int64) error {
	return &requestError{&http.MaxBytesError{Limit: limit}}
}

// spool reads body to its end and closes it. It returns early if ctx is cancelled.
func (t *Transport) spool(ctx context.Context, body *requestBody) (*spooled, error) {
	s, err := t.newSpool()
	if err != nil {
		_ = body.Close()
		return nil, err
	}
	done := make(chan error)
	go func() {
		err := s.fill(body, t.maxSpool())
		_ = body.Close()
		if err != nil {
			_ = s.Close()
		}
		select {
		case done <- err:
		case <-ctx.Done():
			_ = s.Close()
		}
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, ctxOr(ctx, err)
		}
		return s, nil
	case <-ctx.Done():
		body.abandon()
		return nil, context.Cause(ctx)
	}
}

// fill reads body to its end. It fails after limit bytes.
func (s *spooled) fill(body io.Reader, limit int64) error {
	body = io.LimitReader(body, limit+1)
	var memory bytes.Buffer
	n, err := io.CopyN(&memory, body, spoolMemory)
	s.Reader, s.size = &memory, n
	if err == nil {
		err = s.overflow(body)
	}
	switch {
	case err != nil && err != io.EOF:
		return err
	case s.size > limit:
		return tooLong(limit)
	}
	return nil
}

// overflow reads the rest of body into a temporary file.
func (s *spooled) overflow(body io.Reader) error {
	var first [1]byte
	if _, err := io.ReadFull(body, first[:]); err != nil {
		return err // on io.EOF the whole body is in memory
	}
	file, err := os.CreateTemp("", "scgi-")
	if err != nil {
		return fmt.Errorf("%w: %w", errSpoolDisk, err)
	}
	s.file = file
	_ = os.Remove(file.Name()) // where an open file can be removed, a crash leaves none behind
	n, err := io.Copy(file, body)
	s.size += 1 + n
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	s.Reader = io.MultiReader(s.Reader, bytes.NewReader(first[:]), file)
	var fault *requestError
	if err != nil && !errors.As(err, &fault) {
		err = fmt.Errorf("%w: %w", errSpoolDisk, err)
	}
	return err
}

// Close removes the file and returns the place. It is idempotent.
func (s *spooled) Close() error {
	s.place()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	if rm := os.Remove(s.file.Name()); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}
