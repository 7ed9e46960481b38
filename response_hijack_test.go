package scgi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/scgi"
)

func TestHijack(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &scgi.Server{MaxWorkers: 1, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			if r.Env.Get("REQUEST_URI") != "/upgrade" {
				return
			}
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
			w.WriteHeader(http.StatusSwitchingProtocols)
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
				t.Errorf("writing after Hijack: %v", err)
			}
			for range 2 {
				line, err := rw.ReadString('\n')
				if err != nil {
					t.Error(err)
				}
				fmt.Fprintf(c, "echo %s", line)
			}
		})}
		start(t, s, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/upgrade")+"early\n")
		br := bufio.NewReader(c)
		want := "Status: 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\necho early\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(br, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
		// The only worker is free again, and Shutdown does not wait for the connection.
		if r := parseReply(t, ask(t, l.Addr(), get("/"))); r.Status != 200 {
			t.Errorf("%+v", r)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		io.WriteString(c, "late\n")
		if line, err := br.ReadString('\n'); line != "echo late\n" {
			t.Errorf("%q, %v", line, err)
		}
	})
}

// As with net/http, Hijack's reader has the part of the body that the handler did not read,
// whether it arrived with the header or later.
func TestHijackKeepsBody(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			read, err := strconv.Atoi(r.Env.Get("REQUEST_URI")[1:])
			if err != nil {
				t.Error(err)
			}
			some := make([]byte, read)
			if _, err := io.ReadFull(r.Body, some); err != nil {
				t.Error(err)
			}
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			rest := make([]byte, len("0123456789PING")-read)
			if _, err := io.ReadFull(rw, rest); err != nil {
				t.Error(err)
			}
			fmt.Fprintf(c, "%s %s", some, rest)
		})}, l)
		for _, read := range []int{0, 3, 10} {
			for _, early := range []int{0, 5, 10, 14} {
				request := post(fmt.Sprintf("/%d", read), "0123456789") + "PING"
				split := len(request) - 14 + early
				want := "0123456789PING"[:read] + " " + "0123456789PING"[read:]
				if got := ask(t, l.Addr(), request[:split], request[split:]); got != want {
					t.Errorf("%d bytes read of %d early ones: %q, want %q", read, early, got, want)
				}
			}
		}
	})
}

// Hijack succeeds even while a goroutine is reading the body.
func TestHijackEndsBodyRead(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			begun, ended := make(chan bool), make(chan bool)
			go func() {
				defer close(ended)
				r.Body.Read(make([]byte, 4))
				close(begun)
				if n, err := r.Body.Read(make([]byte, 4)); n != 0 || err != http.ErrBodyReadAfterClose {
					t.Errorf("%d, %v", n, err)
				}
			}()
			<-begun
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			<-ended
			fmt.Fprint(c, "rest, please\n")
			line, _ := rw.ReadString('\n')
			fmt.Fprint(c, line)
			c.Close()
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, post("/", "bodyrest\n")[:len(post("/", "bodyrest\n"))-5])
		in := bufio.NewReader(c)
		in.ReadString('\n')
		io.WriteString(c, "rest\n")
		if line, err := in.ReadString('\n'); line != "rest\n" {
			t.Errorf("%q, %v", line, err)
		}
	})
}

// A hijacked connection behaves as package net's does, in all that a handler can use.
func TestHijackedConn(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		done := make(chan struct{})
		start(t, &scgi.Server{RequestTimeout: time.Hour, Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			defer close(done)
			control := http.NewResponseController(w)
			c, rw, err := control.Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, _, err := control.Hijack(); err != http.ErrHijacked {
				t.Errorf("a second Hijack: %v", err)
			}
			if got, want := c.LocalAddr(), l.Addr(); got.Network() != want.Network() || got.Network() == "tcp" && got.String() != want.String() {
				t.Errorf("LocalAddr: %v, not %v", got, want)
			}
			if c.RemoteAddr().Network() != l.Addr().Network() {
				t.Errorf("RemoteAddr: %v", c.RemoteAddr())
			}
			io.Copy(c, rw)
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			checkClosed(t, c)
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		io.WriteString(c, "tunnel")
		c.(interface{ CloseWrite() error }).CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "tunnel" || err != nil {
			t.Errorf("%q came back, %v", got, err)
		}
		<-done
	})
}

// checkClosed checks that every call on a closed connection fails with the same error.
func checkClosed(t *testing.T, c net.Conn) {
	t.Helper()
	fails := map[string]error{
		"Close":            c.Close(),
		"CloseWrite":       c.(interface{ CloseWrite() error }).CloseWrite(),
		"SetDeadline":      c.SetDeadline(time.Now()),
		"SetReadDeadline":  c.SetReadDeadline(time.Now()),
		"SetWriteDeadline": c.SetWriteDeadline(time.Now()),
	}
	if linger, ok := c.(interface{ SetLinger(int) error }); ok {
		fails["SetLinger"] = linger.SetLinger(0)
	}
	_, fails["Read"] = c.Read(make([]byte, 1))
	_, fails["Write"] = c.Write(make([]byte, 1))
	for name, err := range fails {
		var op *net.OpError
		if !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) {
			t.Errorf("%s on a closed connection: %v", name, err)
		}
	}
}

// The server does not touch a connection that outlives its handler.
func TestHijackedConnIsLeftAlone(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		hijacked := make(chan net.Conn, 1)
		s := &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			hijacked <- c
		})}
		start(t, s, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		server := <-hijacked
		for s.Stats().Served == 0 {
			runtime.Gosched()
		}
		io.WriteString(server, "tunnel")
		server.Close()
		if got, err := io.ReadAll(c); string(got) != "tunnel" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// The garbage collector closes a hijacked connection that its handler has dropped.
func TestForgottenHijackedConnIsClosed(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			if _, _, err := http.NewResponseController(w).Hijack(); err != nil {
				t.Error(err)
			}
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		ended := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
		for end := time.Now().Add(patience); ; {
			runtime.GC()
			select {
			case err := <-ended:
				if err != io.EOF {
					t.Error(err)
				}
				return
			default:
			}
			if time.Now().After(end) {
				t.Fatal("the connection is still open")
			}
		}
	})
}

// Concurrent writes to a hijacked connection do not mix their bytes.
func TestHijackedConnWritesWhole(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		const size, times = 1 << 20, 4
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			var writing sync.WaitGroup
			for _, letter := range []string{"a", "b"} {
				writing.Go(func() {
					for range times {
						io.WriteString(c, strings.Repeat(letter, size))
					}
				})
			}
			writing.Wait()
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		block := make([]byte, size)
		for range 2 * times {
			if _, err := io.ReadFull(c, block); err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(block, block[:1]); n != size {
				t.Fatalf("of %d bytes %d are %q", size, n, block[0])
			}
		}
	})
}

func TestIPv6(t *testing.T) {
	l, err := scgi.Listen("[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	local, remote := make(chan string, 1), make(chan string, 1)
	start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		remote <- r.RemoteAddr().String()
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		local <- c.LocalAddr().String()
		c.Close()
	})}, l)
	c := dial(t, l.Addr())
	io.WriteString(c, get("/"))
	if got := <-remote; got != c.LocalAddr().String() {
		t.Errorf("RemoteAddr: %s, not %v", got, c.LocalAddr())
	}
	if got := <-local; got != c.RemoteAddr().String() {
		t.Errorf("LocalAddr: %s, not %v", got, c.RemoteAddr())
	}
}
