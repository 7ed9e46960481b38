package scgi

// bench_test.go benchmarks a whole exchange; parsing, dispatch and the reply have benchmarks
// beside their tests. These show where time goes and what a change does to it. The bench
// module compares the cost of a request with other servers', with client and server apart.

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"example.com/scgi/internal/scgitest"
)

const page = "Sun Nov 22 13:11:00 2026\n"

// levels are handlers of each level that answer with the same page.
func levels() map[string]Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, page)
	})
	return map[string]Handler{
		"native": HandlerFunc(func(w http.ResponseWriter, _ *Request) { io.WriteString(w, page) }),
		"produce": ProduceFunc(func(_ Env, _ int64, _ io.Reader, out io.Writer) {
			io.WriteString(out, "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"+page)
		}),
		"http": HTTPHandler(mux),
	}
}

// BenchmarkExchange runs exchanges one after the other, from connecting to the end of the
// connection. The time includes the client's half and its wake-up.
func BenchmarkExchange(b *testing.B) {
	request := appendNetstring(nil, typical.block)
	for _, network := range []string{"unix", "tcp"} {
		for _, level := range []string{"native", "produce", "http"} {
			b.Run(network+"/"+level, func(b *testing.B) {
				addr := "127.0.0.1:0"
				if network == "unix" {
					addr = "unix:" + filepath.Join(scgitest.TempDir(b), "s")
				}
				l, err := Listen(addr)
				if err != nil {
					b.Fatal(err)
				}
				scgitest.Serve(b, &Server{Handler: levels()[level]}, l, ErrServerClosed)
				reply := make([]byte, 4096)
				b.ReportAllocs()
				for b.Loop() {
					exchangeOnce(b, l.Addr(), request, reply)
				}
			})
		}
	}
}

func exchangeOnce(b *testing.B, addr net.Addr, request, reply []byte) {
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(request); err != nil {
		b.Fatal(err)
	}
	n, err := io.ReadFull(c, reply)
	if err != io.ErrUnexpectedEOF || string(reply[:12]) != "Status: 200 " {
		b.Fatalf("%q, %v", reply[:n], err)
	}
}
