package scgi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
)

func TestProduce(t *testing.T) {
	for _, kind := range kinds {
		l := listen(t, kind)
		start(t, &Server{Handler: ProduceFunc(func(env Env, size int64, in io.Reader, out io.Writer) {
			switch env.Get("REQUEST_URI") {
			case "/raw":
				io.Copy(out, in)
			case "/flush":
				io.WriteString(out, "<a>")
				out.(http.Flusher).Flush()
				io.WriteString(out, "</a>")
			case "/big":
				out.Write(bytes.Repeat([]byte("y"), 100000))
			case "/panic":
				io.WriteString(out, "half")
				panic(http.ErrAbortHandler)
			}
		})}, l)
		const page = "Status: 404 My Own\nX: y\n\nno\r\n"
		if got := ask(t, l.Addr(), post("/raw", page)); got != page {
			t.Errorf("%s: %q", kind, got)
		}
		if got := ask(t, l.Addr(), get("/flush")); got != "<a></a>" {
			t.Errorf("%s: %q", kind, got)
		}
		if got := ask(t, l.Addr(), get("/big")); len(got) != 100000 {
			t.Errorf("%s: %d bytes", kind, len(got))
		}
		if got := ask(t, l.Addr(), get("/nothing")); got != "" {
			t.Errorf("%s: %q", kind, got)
		}
		if got := parseReply(t, ask(t, l.Addr(), get("/panic"))); got.Status != 500 {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestProduceBehindWrappers(t *testing.T) {
	produce := ProduceFunc(func(env Env, size int64, in io.Reader, out io.Writer) { io.WriteString(out, "raw") })
	l := listen(t, "unix")
	start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) { produce.ServeSCGI(wrapped{wrapped{w}}, r) })}, l)
	if got := ask(t, l.Addr(), get("/")); got != "raw" {
		t.Errorf("%q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a foreign ResponseWriter was taken")
		}
	}()
	produce.ServeSCGI(struct{ http.ResponseWriter }{}, &Request{})
}

// A Location without a status is a redirect for CGI (RFC 3875 §6.2.3), and 200
// for net/http.
func TestLocationWithoutStatus(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Location", "/x") })
	native := HandlerFunc(func(w http.ResponseWriter, r *Request) { h(w, nil) })
	wrapper := HandlerFunc(func(w http.ResponseWriter, r *Request) { HTTPHandler(h).ServeSCGI(wrapped{w}, r) })
	for status, handlers := range map[int][]Handler{302: {native}, 200: {HTTPHandler(h), wrapper}} {
		for _, h := range handlers {
			raw, _ := serveOnce(t, h.ServeSCGI, get("/"))
			if r := parseReply(t, raw); r.Status != status || r.Header.Get("Location") != "/x" {
				t.Errorf("%T: %+v, want %d", h, r, status)
			}
		}
	}
}

// As with net/http, the handler finds in the reader what it has not read of the
// body, whether it came with the header or after.
func TestHijackKeepsBody(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
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

// A goroutine that still reads the body does not keep the handler from the
// connection.
func TestHijackEndsBodyRead(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
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

func TestHijack(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		s := &Server{MaxWorkers: 1, Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
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
		// The only worker is free again, and Shutdown does not wait.
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

func TestLateUseFails(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		var w http.ResponseWriter
		var r *Request
		start(t, &Server{Handler: HandlerFunc(func(ww http.ResponseWriter, rr *Request) { w, r = ww, rr })}, l)
		ask(t, l.Addr(), post("/first", "body"))
		late := w
		env := r.Env
		lateReq := r
		ask(t, l.Addr(), post("/second", "BODY"))
		if _, err := late.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a late Write: %v", err)
		}
		if err := http.NewResponseController(late).Flush(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a late Flush: %v", err)
		}
		if _, _, err := http.NewResponseController(late).Hijack(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a late Hijack: %v", err)
		}
		if _, err := lateReq.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("a late Read: %v", err)
		}
		if env.Get("REQUEST_URI") != "/first" || lateReq.Context().Err() == nil {
			t.Errorf("kept: %q, %v", env.Get("REQUEST_URI"), lateReq.Context().Err())
		}
		late.Header().Set("X", "late")
		late.WriteHeader(500)
	})
}
