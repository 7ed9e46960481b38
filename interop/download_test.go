package interop_test

// download_test.go tests replies that are larger than nginx's temporary file. When the file
// is full, nginx reads nothing until its client has taken all of it, which for the default
// of 1 GiB takes minutes or hours.

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

// A client that reads 4 MiB a second empties the temporary file in 4 s, twice the
// WriteTimeout. Without such a file nginx reads again as soon as a third of its socket
// buffer is free, after less than 0.4 s.
const (
	temporaryFile = "scgi_max_temp_file_size 16m;"
	downloadSize  = 28 << 20 // larger than the file and all socket buffers
	stallTimeout  = 2 * time.Second
	pieceTime     = 16 * time.Millisecond
	pieceSize     = 64 << 10
)

func TestSlowDownload(t *testing.T) {
	cases := map[string]struct {
		timeout    time.Duration
		extra      string
		unbuffered bool
		whole      bool
	}{
		"default":           {extra: temporaryFile, whole: true},
		"WriteTimeout":      {timeout: stallTimeout, extra: temporaryFile},
		"no temporary file": {timeout: stallTimeout, extra: "scgi_max_temp_file_size 0;", whole: true},
		"X-Accel-Buffering": {timeout: stallTimeout, extra: temporaryFile, unbuffered: true, whole: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each subtest mostly waits for its client
			s := site{
				handler:      download(c.unbuffered),
				writeTimeout: c.timeout,
				extra:        map[webserver.Kind]string{webserver.Nginx: c.extra},
			}
			n, err := downloadSlowly(t, s.start(t, webserver.Nginx, "unix").addr)
			if whole := err == nil && n == downloadSize; whole != c.whole {
				t.Errorf("got %d of %d bytes, %v", n, downloadSize, err)
			}
		})
	}
}

func download(unbuffered bool) scgi.Handler {
	return scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(downloadSize))
		if unbuffered {
			w.Header().Set("X-Accel-Buffering", "no")
		}
		_, _ = io.Copy(w, strings.NewReader(pattern(downloadSize)))
	}))
}

// downloadSlowly reads the reply piece by piece. It catches up on pieces that a busy machine
// delayed: a slower client would free nginx's buffer too late.
func downloadSlowly(t *testing.T, addr string) (n int64, err error) {
	t.Helper()
	conn := dial(t, addr)
	_, _ = io.WriteString(conn, get("/").head())
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	pace := time.NewTicker(pieceTime)
	defer pace.Stop()
	for start := time.Now(); err == nil; {
		<-pace.C
		due := int64(time.Since(start)/pieceTime) * pieceSize
		var taken int64
		taken, err = io.CopyN(io.Discard, resp.Body, due-n)
		n += taken
	}
	if err == io.EOF {
		return n, nil
	}
	return n, err
}
