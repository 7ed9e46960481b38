package scgi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"example.com/scgi"
)

// bufferSize is the size of the buffer that gathers a reply.
const bufferSize = 16 << 10

// serveOnce returns h's raw reply to request. It must be the same on every kind of listener.
func serveOnce(t *testing.T, h scgi.HandlerFunc, request string) (raw string, log string) {
	t.Helper()
	for i, kind := range kinds {
		l := listen(t, kind)
		s := &scgi.Server{Handler: h}
		logged := start(t, s, l)
		got := ask(t, l.Addr(), request)
		if i > 0 && got != raw {
			t.Errorf("%s answers\n%q\n, %s\n%q", kind, got, kinds[0], raw)
		}
		raw, log = got, logged.String()
	}
	return raw, log
}

func TestReplySyntax(t *testing.T) {
	big := strings.Repeat("x", 3*bufferSize)
	const text = "Content-Type: text/plain; charset=utf-8\r\n"
	for _, test := range []struct {
		name  string
		head  bool
		h     scgi.HandlerFunc
		reply string
	}{
		{"nothing at all", false, func(w http.ResponseWriter, r *scgi.Request) {}, "Status: 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"text", false, func(w http.ResponseWriter, r *scgi.Request) { io.WriteString(w, "hi") },
			"Status: 200 OK\r\n" + text + "Content-Length: 2\r\n\r\nhi"},
		{"sniffed over several writes", false, func(w http.ResponseWriter, r *scgi.Request) {
			io.WriteString(w, "<!DOCTYPE")
			io.WriteString(w, " HTML>")
		}, "Status: 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 15\r\n\r\n<!DOCTYPE HTML>"},
		{"sniffed from its only byte", false, func(w http.ResponseWriter, r *scgi.Request) { w.Write([]byte{0}) },
			"Status: 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1\r\n\r\n\x00"},
		{"sniffed from one long write", false, func(w http.ResponseWriter, r *scgi.Request) { io.WriteString(w, "GIF89a"+big) },
			"Status: 200 OK\r\nContent-Type: image/gif\r\n\r\nGIF89a" + big},
		{"sniffed over a short and a long write", false, func(w http.ResponseWriter, r *scgi.Request) {
			io.WriteString(w, "GIF")
			io.WriteString(w, "89a"+big)
		}, "Status: 200 OK\r\nContent-Type: image/gif\r\n\r\nGIF89a" + big},
		{"a Location, and 200 all the same", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Location", "/x")
			w.WriteHeader(200)
		}, "Status: 200 OK\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"},
		{"own header, sorted", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("X-B", "2")
			w.Header().Set("X-A", "1")
			w.Header().Add("X-A", "again")
			w.Header().Set("Content-Type", "a/b")
			w.WriteHeader(404)
			w.Header().Set("X-Late", "1")
			io.WriteString(w, "hi")
		}, "Status: 404 Not Found\r\nContent-Type: a/b\r\nX-A: 1\r\nX-A: again\r\nX-B: 2\r\nContent-Length: 2\r\n\r\nhi"},
		{"no type wanted", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
		{"encoded is not sniffed", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi"},
		{"a blank Content-Encoding is sniffed", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Encoding", "")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\nContent-Encoding: \r\n" + text + "Content-Length: 2\r\n\r\nhi"},
		{"own transfer coding", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Transfer-Encoding", "identity")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n\r\nhi"},
		{"no length wanted", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header()["Content-Length"] = nil
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n" + text + "\r\nhi"},
		{"no length wanted, blank", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Length", "")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n" + text + "\r\nhi"},
		{"a code without a name", false, func(w http.ResponseWriter, r *scgi.Request) { w.WriteHeader(599) },
			"Status: 599 status code 599\r\nContent-Length: 0\r\n\r\n"},
		{"informational ones are not sent", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.WriteHeader(103)
			w.WriteHeader(100)
			w.WriteHeader(201)
		}, "Status: 201 Created\r\nContent-Length: 0\r\n\r\n"},
		{"location without a status", false, func(w http.ResponseWriter, r *scgi.Request) { w.Header().Set("Location", "/x") },
			"Status: 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"},
		{"location with a status", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Location", "/x")
			w.WriteHeader(201)
		}, "Status: 201 Created\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"},
		{"204 has no body", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "hi"); err != http.ErrBodyNotAllowed {
				panic(err)
			}
		}, "Status: 204 No Content\r\n\r\n"},
		{"304 has no body", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Length", "2")
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(304)
			if _, err := io.WriteString(w, "hi"); err != http.ErrBodyNotAllowed {
				panic(err)
			}
		}, "Status: 304 Not Modified\r\nContent-Length: 2\r\n\r\n"},
		{"HEAD has no body, but its type and length", true, func(w http.ResponseWriter, r *scgi.Request) {
			n, err := io.WriteString(w, "hi")
			if n != 2 || err != nil {
				panic(err)
			}
		}, "Status: 200 OK\r\n" + text + "Content-Length: 2\r\n\r\n"},
		{"HEAD of one byte", true, func(w http.ResponseWriter, r *scgi.Request) { io.WriteString(w, "1") },
			"Status: 200 OK\r\n" + text + "Content-Length: 1\r\n\r\n"},
		{"HEAD is sniffed over several writes", true, func(w http.ResponseWriter, r *scgi.Request) {
			io.WriteString(w, "<!DOCTYPE")
			io.WriteString(w, " HTML>")
			io.WriteString(w, big)
		}, fmt.Sprintf("Status: 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n", 15+len(big))},
		{"HEAD, flushed between", true, func(w http.ResponseWriter, r *scgi.Request) {
			io.WriteString(w, "GIF89a")
			w.(http.Flusher).Flush()
			io.WriteString(w, big)
		}, "Status: 200 OK\r\nContent-Type: image/gif\r\n\r\n"},
		{"HEAD, nothing written", true, func(w http.ResponseWriter, r *scgi.Request) { w.Header().Set("Content-Length", "7") },
			"Status: 200 OK\r\nContent-Length: 7\r\n\r\n"},
		{"HEAD, no length known", true, func(w http.ResponseWriter, r *scgi.Request) {}, "Status: 200 OK\r\n\r\n"},
		{"hop by hop", false, func(w http.ResponseWriter, r *scgi.Request) {
			for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Status", "Trailer:X"} {
				w.Header().Set(name, "x")
			}
			w.Header()["transfer-encoding"] = []string{"chunked"}
			w.Header().Set("X", "1")
		}, "Status: 200 OK\r\nX: 1\r\n\r\n"},
		{"what could end a line", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("X", " a\r\nSet-Cookie: b\x00\x01\x7fc\td ")
			w.Header()["X-B\r\nEvil"] = []string{"1"}
			w.Header()["X B"] = []string{"1"}
			w.Header()["X\x00"] = []string{"1"}
			w.Header()[""] = []string{"1"}
			w.Header()["X-ä"] = []string{"1"}
			w.Header()["X:Y"] = []string{"1"}
		}, "Status: 200 OK\r\nX: a  Set-Cookie: b   c\td\r\nContent-Length: 0\r\n\r\n"},
		{"invalid Content-Length", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Length", "+2")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n" + text + "Content-Length: 2\r\n\r\nhi"},
		{"huge Content-Length", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Length", "99999999999999999999")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n" + text + "Content-Length: 2\r\n\r\nhi"},
		{"flush first", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.(http.Flusher).Flush()
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n\r\nhi"},
		{"larger than the buffer", false, func(w http.ResponseWriter, r *scgi.Request) { io.WriteString(w, big) },
			"Status: 200 OK\r\n" + text + "\r\n" + big},
		{"larger than the buffer, its length declared", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			w.Write([]byte("xx"))
			w.Write([]byte(big[2:]))
		}, "Status: 200 OK\r\n" + text + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(big)) + big},
		{"a header larger than the buffer", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("X", big)
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\nX: " + big + "\r\n" + text + "Content-Length: 2\r\n\r\nhi"},
		{"over its Content-Length", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Length", "2")
			for _, body := range []string{"abc", "ab"} {
				if n, err := w.Write([]byte(body)); n != 0 || err != http.ErrContentLength {
					t.Errorf("%s: %d, %v", body, n, err)
				}
			}
		}, "Status: 500 Internal Server Error\r\n" + text + "Content-Length: 22\r\n\r\nInternal Server Error\n"},
		{"over its Content-Length, once that is met", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Length", "2")
			w.Write([]byte("ab"))
			if n, err := w.Write([]byte("c")); n != 0 || err != http.ErrContentLength {
				t.Errorf("%d, %v", n, err)
			}
		}, "Status: 200 OK\r\n" + text + "Content-Length: 2\r\n\r\nab"},
		{"short of its Content-Length, nothing sent yet", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("Content-Length", "3")
			w.Write([]byte("ab"))
		}, "Status: 500 Internal Server Error\r\n" + text + "Content-Length: 22\r\n\r\nInternal Server Error\n"},
		{"panic before anything was sent", false, func(w http.ResponseWriter, r *scgi.Request) {
			w.Header().Set("X", "1")
			w.Write([]byte("ab"))
			panic("no")
		}, "Status: 500 Internal Server Error\r\n" + text + "Content-Length: 22\r\n\r\nInternal Server Error\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := get("/")
			if test.head {
				request = encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "HEAD")
			}
			raw, _ := serveOnce(t, test.h, request)
			if raw != test.reply {
				t.Errorf("got\n%.300q\nwant\n%.300q", raw, test.reply)
			}
		})
	}
}

func TestWriteHeaderPanicsOnNonsense(t *testing.T) {
	raw, _ := serveOnce(t, func(w http.ResponseWriter, r *scgi.Request) {
		for _, code := range []int{-1, 0, 99, 1000} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("WriteHeader(%d) did not panic", code)
					}
				}()
				w.WriteHeader(code)
			}()
		}
	}, get("/"))
	if r := parseReply(t, raw); r.Status != 200 {
		t.Errorf("%+v", r)
	}
}

func TestLateWriteHeaderLogsCaller(t *testing.T) {
	raw, log := serveOnce(t, func(w http.ResponseWriter, r *scgi.Request) {
		w.WriteHeader(201)
		w.WriteHeader(0) // no panic, since any late call is ignored
		http.Error(w, "", 500)
	}, get("/"))
	if r := parseReply(t, raw); r.Status != 201 {
		t.Errorf("%+v", r)
	}
	const want = "TestLateWriteHeaderLogsCaller.func1 (response_test.go:"
	if strings.Count(log, want) != 2 {
		t.Errorf("want %q twice in the log %s", want, log)
	}
}

// CloseNotify's channel reports a peer that goes away, but not a handler that returns or
// hijacks the connection.
func TestCloseNotify(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		notified := make(chan (<-chan bool), 1)
		start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
			notifier := w.(http.CloseNotifier) //lint:ignore SA1019 gin's Stream calls it
			gone := notifier.CloseNotify()
			if again := notifier.CloseNotify(); again != gone {
				t.Error("a second call returned another channel")
			}
			notified <- gone
			if r.Env.Get("REQUEST_URI") == "/wait" {
				if !<-gone {
					t.Error("the channel was closed")
				}
				notified <- nil
			}
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/wait"))
		<-notified
		c.Close()
		<-notified
		ask(t, l.Addr(), get("/"))
		select {
		case <-<-notified:
			t.Error("the channel reported the handler's end")
		default:
		}
	})
}

// Header fields that are dropped are logged, except those that net/http's handlers may set
// and CGI does not have.
func TestDroppedFieldsAreLogged(t *testing.T) {
	for name, logged := range map[string]bool{"X B": true, "Content-Length": true, http.TrailerPrefix + "X": false, "Transfer-Encoding": false} {
		_, log := serveOnce(t, func(w http.ResponseWriter, r *scgi.Request) { w.Header()[name] = []string{"x"} }, get("/"))
		if got := log != ""; got != logged {
			t.Errorf("%s: %q was logged", name, log)
		}
	}
	_, log := serveOnce(t, func(w http.ResponseWriter, r *scgi.Request) { w.Header().Set("Content-Length", "1") }, get("/"))
	if log == "" {
		t.Error("a reply that is shorter than its Content-Length is not logged")
	}
}

// writeCounter counts the writes on a connection.
type writeCounter struct {
	net.Conn
	writes *atomic.Int64
}

func (c writeCounter) Write(p []byte) (int, error) { c.writes.Add(1); return c.Conn.Write(p) }

// oneConn is a listener whose connections the test provides.
type oneConn struct{ conns chan net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Net: "pipe"} }

func (l *oneConn) Close() error {
	defer func() { recover() }() // Close may be called twice
	close(l.conns)
	return nil
}

func TestPageThatFitsIsOneWrite(t *testing.T) {
	client, server := net.Pipe()
	var writes atomic.Int64
	l := &oneConn{conns: make(chan net.Conn, 1)}
	l.conns <- writeCounter{server, &writes}
	start(t, &scgi.Server{Handler: scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
		for range 100 {
			io.WriteString(w, "a line of a page\n")
		}
	})}, l)
	go io.WriteString(client, get("/"))
	reply := make([]byte, 1<<16)
	n, err := client.Read(reply)
	if r := parseReply(t, string(reply[:n])); err != nil || len(r.Body) != 1700 || r.Header.Get("Content-Length") != "1700" {
		t.Errorf("the first read gives %d bytes of body, %v", len(r.Body), err)
	}
	client.Close()
	if writes.Load() != 1 {
		t.Errorf("%d writes", writes.Load())
	}
}
