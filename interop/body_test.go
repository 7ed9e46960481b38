package interop_test

// body_test.go tests bodies: of every size, in both directions, with and without a length,
// refused, and unread. Bodies are compared by their hash. An answer that is sent before the
// request has been read must arrive every time.

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"example.com/scgi"
)

func TestBodies(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /up", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%d bytes, %x, %v", n, sum.Sum(nil), err)
	})
	mux.HandleFunc("GET /down/{size}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("size"))
		_, _ = io.WriteString(w, pattern(n))
	})
	site{handler: scgi.HTTPHandler(mux)}.each(t, func(t *testing.T, fr front) {
		for _, size := range []int{0, 1, 8191, 8192, 1 << 20, longest} {
			want := hash(pattern(size))
			a := call{method: "POST", target: "/up", body: pattern(size)}.do(t, fr.addr).ok(t, 200)
			if a.body != want+", <nil>" {
				t.Errorf("up: got %s, want %s", a.body, want)
			}
			a = get(fmt.Sprint("/down/", size)).do(t, fr.addr).ok(t, 200)
			if got := hash(a.body); got != want {
				t.Errorf("down: got %s, want %s", got, want)
			}
		}
	})
}

// A reply that is sent before the request is read gets lost if the server closes the
// connection too early.
func TestEarlyReply(t *testing.T) {
	h := scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		http.Error(w, "too much, says the app", http.StatusRequestEntityTooLarge)
	})
	upload := call{method: "POST", target: "/", body: strings.Repeat("x", 20<<20)}
	site{handler: h}.each(t, func(t *testing.T, fr front) {
		for range 10 {
			a := upload.do(t, fr.addr).ok(t, http.StatusRequestEntityTooLarge)
			if a.body != "too much, says the app\n" {
				t.Errorf("body %.200q", a.body)
			}
		}
	})
}

// The same with a reply that is larger than the connection's buffers.
func TestLongEarlyReply(t *testing.T) {
	page := pattern(4 << 20)
	h := scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, page)
	})
	upload := call{method: "POST", target: "/", body: strings.Repeat("x", 20<<20)}
	site{handler: h}.each(t, func(t *testing.T, fr front) {
		a := upload.do(t, fr.addr).ok(t, http.StatusRequestEntityTooLarge)
		if a.body != page {
			t.Errorf("got %s", hash(a.body))
		}
	})
}

func TestBodyLimit(t *testing.T) {
	h := scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		t.Error("the handler ran")
	})
	upload := call{method: "POST", target: "/", body: strings.Repeat("x", 20<<20)}
	site{handler: h, maxBody: 1 << 20}.each(t, func(t *testing.T, fr front) {
		for range 10 {
			a := upload.do(t, fr.addr).ok(t, http.StatusRequestEntityTooLarge)
			// The web servers' own error pages are HTML.
			if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "text/plain") || a.body == "" {
				t.Errorf("got %s, %.200q, want the library's text", ct, a.body)
			}
		}
	})
}

func TestExpectContinue(t *testing.T) {
	site{handler: scgi.HTTPHandler(app())}.each(t, func(t *testing.T, fr front) {
		c := call{method: "POST", target: "/dump", body: "only if you want it", fields: []string{"Expect: 100-continue"}}
		conn := dial(t, fr.addr)
		_, _ = io.WriteString(conn, c.head())
		r := bufio.NewReader(conn)
		readAnswer(r, c.method).ok(t, http.StatusContinue)
		_, _ = io.WriteString(conn, c.body)
		a := readAnswer(r, c.method).ok(t, http.StatusOK)
		if want := "Body: " + hash(c.body) + ", <nil>"; !strings.Contains(a.body, want) {
			t.Errorf("got %s, want %s in it", a.body, want)
		}
	})
}

// Of many parallel requests, each gets its own answer.
func TestParallelRequests(t *testing.T) {
	site{handler: scgi.HTTPHandler(app())}.each(t, func(t *testing.T, fr front) {
		results := make(chan error)
		const clients, rounds = 32, 4
		for client := range clients {
			go func() {
				for round := range rounds {
					body := strings.Repeat(fmt.Sprintf("client %d, round %d; ", client, round), 1000)
					c := call{method: "POST", target: "/echo", body: body}
					a := c.do(t, fr.addr)
					if a.status != 200 || a.err != nil || a.body != body {
						results <- fmt.Errorf("client %d: %d, %v, %.100q", client, a.status, a.err, a.body)
						continue
					}
					results <- nil
				}
			}()
		}
		for range clients * rounds {
			if err := receive(t, results, "a client"); err != nil {
				t.Error(err)
			}
		}
	})
}
