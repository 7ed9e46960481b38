package main

// scgi.go has SCGI servers that do less than the library: the bare minimum that Go
// can do, and a naive first draft.

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
)

// serveBare accepts, reads once, writes once and closes, in one goroutine. It does
// not parse, limit or recover anything, and one silent peer blocks it. Its time is
// the cost of Go and the kernel; whatever a server takes beyond it is its own.
func serveBare(l net.Listener) error {
	buf := make([]byte, 64<<10)
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if _, err := c.Read(buf); err == nil {
			_, _ = io.WriteString(c, head+now())
		}
		_ = c.Close()
	}
}

// serveNaive uses a goroutine, a bufio.Reader and a map for each connection.
func serveNaive(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if err := answerNaive(c); err != nil && err != io.EOF {
				log.Print(err)
			}
		}()
	}
}

func answerNaive(c net.Conn) error {
	r := bufio.NewReader(c)
	env, err := readHeader(r)
	if err != nil {
		return err
	}
	size, err := strconv.ParseInt(env["CONTENT_LENGTH"], 10, 64)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, r, size); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c, "%s%s", head, now())
	return err
}

func readHeader(r *bufio.Reader) (map[string]string, error) {
	length, err := r.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil {
		return nil, err
	}
	block := make([]byte, n+1)
	if _, err := io.ReadFull(r, block); err != nil {
		return nil, err
	}
	parts := strings.Split(string(block[:n]), "\x00")
	env := make(map[string]string)
	for i := 0; i+1 < len(parts); i += 2 {
		env[parts[i]] = parts[i+1]
	}
	return env, nil
}

// serveEach calls do for one connection at a time. The bare transfers use it.
func serveEach(l net.Listener, do func(net.Conn)) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		do(c)
		_ = c.Close()
	}
}

// sink receives an upload with a bare io.Copy from the socket.
func sink(c net.Conn, size int64) {
	if n, err := io.Copy(io.Discard, io.LimitReader(c, size)); err != nil || n < size {
		log.Printf("upload ended after %d bytes: %v", n, err)
		return
	}
	_, _ = io.WriteString(c, head+now())
}

// sendFile sends a file with a bare io.Copy to the socket, which uses sendfile.
func sendFile(c net.Conn, name string) {
	if _, err := c.Read(make([]byte, 4096)); err != nil {
		return
	}
	f, err := os.Open(name)
	if err != nil {
		log.Print(err)
		return
	}
	defer f.Close()
	if _, err := io.WriteString(c, head); err != nil {
		return
	}
	_, _ = io.Copy(c, f)
}
