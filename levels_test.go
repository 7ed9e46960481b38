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
