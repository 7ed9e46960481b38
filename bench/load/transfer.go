//go:build linux

package load

// transfer.go sends one large upload or download over its own connection. A
// transfer that ends early is an error.

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"time"

	"example.com/scgi/bench/internal/address"
)

const transferTime = time.Minute

// Upload sends an SCGI request with a body of size bytes and waits for the
// reply. It returns how long that took.
func Upload(addr string, size int64) (time.Duration, error) {
	return transfer(addr, func(c net.Conn) error {
		if err := sendBody(c, size); err != nil {
			return err
		}
		reply, err := io.ReadAll(c)
		if err == nil && !bytes.HasPrefix(reply, []byte("Status: 200")) {
			err = fmt.Errorf("load: upload answered with %.100q", reply)
		}
		return err
	})
}

// HeadLen is the length of the header that Upload sends before the body.
func HeadLen(size int64) int { return len(uploadHead(size)) }

func uploadHead(size int64) []byte {
	const mark = "CONTENT_LENGTH\x00"
	block := fmt.Sprintf("%s%d\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00REQUEST_URI\x00/\x00SERVER_PROTOCOL\x00HTTP/1.1\x00HTTP_HOST\x00example.org\x00", mark, size)
	return fmt.Appendf(nil, "%d:%s,", len(block), block)
}

func sendBody(c net.Conn, size int64) error {
	if _, err := c.Write(uploadHead(size)); err != nil {
		return err
	}
	chunk := make([]byte, 256<<10)
	for left := size; left > 0; {
		n, err := c.Write(chunk[:min(left, int64(len(chunk)))])
		if err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

// Download asks for a reply of at least size bytes and reads it to its end. It
// returns how long that took.
func Download(addr string, size int64) (time.Duration, error) {
	return transfer(addr, func(c net.Conn) error {
		if _, err := c.Write(uploadHead(0)); err != nil {
			return err
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 256<<10))
		if err == nil && n < size {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
}

func transfer(addr string, do func(net.Conn) error) (time.Duration, error) {
	began := time.Now()
	c, err := address.Dial(addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(began.Add(transferTime)); err != nil {
		return 0, err
	}
	err = do(c)
	return time.Since(began), err
}
