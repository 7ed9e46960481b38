package scgi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/scgi/internal/socket"
)

// serveOnce returns the raw reply of h to request, on each kind of listener,
// which must all agree.
func serveOnce(t *testing.T, h HandlerFunc, request string) (raw string, log string) {
	t.Helper()
	for i, kind := range kinds {
		l := listen(t, kind)
		s := &Server{Handler: h}
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
	big := strings.Repeat("x", 3*scratchSize)
	const text = "Content-Type: text/plain; charset=utf-8\r\n"
	for _, test := range []struct {
		name  string
		head  bool
		h     HandlerFunc
		reply string
	}{
		{"nothing at all", false, func(w http.ResponseWriter, r *Request) {}, "Status: 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"text", false, func(w http.ResponseWriter, r *Request) { io.WriteString(w, "hi") },
			"Status: 200 OK\r\n" + text + "Content-Length: 2\r\n\r\nhi"},
		{"sniffed over several writes", false, func(w http.ResponseWriter, r *Request) {
			io.WriteString(w, "<!DOCTYPE")
			io.WriteString(w, " HTML>")
		}, "Status: 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 15\r\n\r\n<!DOCTYPE HTML>"},
		{"sniffed from its only byte", false, func(w http.ResponseWriter, r *Request) { w.Write([]byte{0}) },
			"Status: 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1\r\n\r\n\x00"},
		{"sniffed from one long write", false, func(w http.ResponseWriter, r *Request) { io.WriteString(w, "GIF89a"+big) },
			"Status: 200 OK\r\nContent-Type: image/gif\r\n\r\nGIF89a" + big},
		{"sniffed over a short and a long write", false, func(w http.ResponseWriter, r *Request) {
			io.WriteString(w, "GIF")
			io.WriteString(w, "89a"+big)
		}, "Status: 200 OK\r\nContent-Type: image/gif\r\n\r\nGIF89a" + big},
		{"a Location, and 200 all the same", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Location", "/x")
			w.WriteHeader(200)
		}, "Status: 200 OK\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"},
		{"own header, sorted", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("X-B", "2")
			w.Header().Set("X-A", "1")
			w.Header().Add("X-A", "again")
			w.Header().Set("Content-Type", "a/b")
			w.WriteHeader(404)
			w.Header().Set("X-Late", "1")
			io.WriteString(w, "hi")
		}, "Status: 404 Not Found\r\nContent-Type: a/b\r\nX-A: 1\r\nX-A: again\r\nX-B: 2\r\nContent-Length: 2\r\n\r\nhi"},
		{"no type wanted", false, func(w http.ResponseWriter, r *Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
		{"encoded is not sniffed", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi"},
		{"a blank Content-Encoding is sniffed", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Encoding", "")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\nContent-Encoding: \r\n" + text + "Content-Length: 2\r\n\r\nhi"},
		{"own transfer coding", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Transfer-Encoding", "identity")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n\r\nhi"},
		{"no length wanted", false, func(w http.ResponseWriter, r *Request) {
			w.Header()["Content-Length"] = nil
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n" + text + "\r\nhi"},
		{"no length wanted, blank", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Length", "")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n" + text + "\r\nhi"},
		{"a code without a name", false, func(w http.ResponseWriter, r *Request) { w.WriteHeader(599) },
			"Status: 599 status code 599\r\nContent-Length: 0\r\n\r\n"},
		{"informational ones are not sent", false, func(w http.ResponseWriter, r *Request) {
			w.WriteHeader(103)
			w.WriteHeader(100)
			w.WriteHeader(201)
		}, "Status: 201 Created\r\nContent-Length: 0\r\n\r\n"},
		{"location without a status", false, func(w http.ResponseWriter, r *Request) { w.Header().Set("Location", "/x") },
			"Status: 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"},
		{"location with a status", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Location", "/x")
			w.WriteHeader(201)
		}, "Status: 201 Created\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"},
		{"204 has no body", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "hi"); err != http.ErrBodyNotAllowed {
				panic(err)
			}
		}, "Status: 204 No Content\r\n\r\n"},
		{"304 has no body", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Length", "2")
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(304)
			if _, err := io.WriteString(w, "hi"); err != http.ErrBodyNotAllowed {
				panic(err)
			}
		}, "Status: 304 Not Modified\r\nContent-Length: 2\r\n\r\n"},
		{"HEAD has no body, but its type and length", true, func(w http.ResponseWriter, r *Request) {
			n, err := io.WriteString(w, "hi")
			if n != 2 || err != nil {
				panic(err)
			}
		}, "Status: 200 OK\r\n" + text + "Content-Length: 2\r\n\r\n"},
		{"HEAD of one byte", true, func(w http.ResponseWriter, r *Request) { io.WriteString(w, "1") },
			"Status: 200 OK\r\n" + text + "Content-Length: 1\r\n\r\n"},
		{"HEAD is sniffed over several writes", true, func(w http.ResponseWriter, r *Request) {
			io.WriteString(w, "<!DOCTYPE")
			io.WriteString(w, " HTML>")
			io.WriteString(w, big)
		}, fmt.Sprintf("Status: 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n", 15+len(big))},
		{"HEAD, flushed between", true, func(w http.ResponseWriter, r *Request) {
			io.WriteString(w, "GIF89a")
			w.(http.Flusher).Flush()
			io.WriteString(w, big)
		}, "Status: 200 OK\r\nContent-Type: image/gif\r\n\r\n"},
		{"HEAD, nothing written", true, func(w http.ResponseWriter, r *Request) { w.Header().Set("Content-Length", "7") },
			"Status: 200 OK\r\nContent-Length: 7\r\n\r\n"},
		{"HEAD, no length known", true, func(w http.ResponseWriter, r *Request) {}, "Status: 200 OK\r\n\r\n"},
		{"hop by hop", false, func(w http.ResponseWriter, r *Request) {
			for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Status", "Trailer:X"} {
				w.Header().Set(name, "x")
			}
			w.Header()["transfer-encoding"] = []string{"chunked"}
			w.Header().Set("X", "1")
		}, "Status: 200 OK\r\nX: 1\r\n\r\n"},
		{"what could end a line", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("X", " a\r\nSet-Cookie: b\x00\x01\x7fc\td ")
			w.Header()["X-B\r\nEvil"] = []string{"1"}
			w.Header()["X B"] = []string{"1"}
			w.Header()["X\x00"] = []string{"1"}
			w.Header()[""] = []string{"1"}
			w.Header()["X-ä"] = []string{"1"}
			w.Header()["X:Y"] = []string{"1"}
		}, "Status: 200 OK\r\nX: a  Set-Cookie: b   c\td\r\nContent-Length: 0\r\n\r\n"},
		{"invalid Content-Length", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Length", "+2")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n" + text + "Content-Length: 2\r\n\r\nhi"},
		{"huge Content-Length", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Length", "99999999999999999999")
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n" + text + "Content-Length: 2\r\n\r\nhi"},
		{"flush first", false, func(w http.ResponseWriter, r *Request) {
			w.(http.Flusher).Flush()
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\n\r\nhi"},
		{"larger than the buffer", false, func(w http.ResponseWriter, r *Request) { io.WriteString(w, big) },
			"Status: 200 OK\r\n" + text + "\r\n" + big},
		{"larger than the buffer, its length declared", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			w.Write([]byte("xx"))
			w.Write([]byte(big[2:]))
		}, "Status: 200 OK\r\n" + text + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(big)) + big},
		{"a header larger than the buffer", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("X", big)
			io.WriteString(w, "hi")
		}, "Status: 200 OK\r\nX: " + big + "\r\n" + text + "Content-Length: 2\r\n\r\nhi"},
		{"over its Content-Length", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Length", "2")
			if n, err := w.Write([]byte("abc")); n != 0 || err != http.ErrContentLength {
				panic(err)
			}
			if n, err := w.Write([]byte("ab")); n != 0 || err != http.ErrContentLength {
				panic(err)
			}
		}, "Status: 500 Internal Server Error\r\n" + text + "Content-Length: 22\r\n\r\nInternal Server Error\n"},
		{"over its Content-Length, once that is met", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Length", "2")
			w.Write([]byte("ab"))
			if n, err := w.Write([]byte("c")); n != 0 || err != http.ErrContentLength {
				panic(err)
			}
		}, "Status: 200 OK\r\n" + text + "Content-Length: 2\r\n\r\nab"},
		{"short of its Content-Length, nothing sent yet", false, func(w http.ResponseWriter, r *Request) {
			w.Header().Set("Content-Length", "3")
			w.Write([]byte("ab"))
		}, "Status: 500 Internal Server Error\r\n" + text + "Content-Length: 22\r\n\r\nInternal Server Error\n"},
		{"panic before anything was sent", false, func(w http.ResponseWriter, r *Request) {
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
	raw, _ := serveOnce(t, func(w http.ResponseWriter, r *Request) {
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

func TestLateWriteHeaderSaysWhereFrom(t *testing.T) {
	raw, log := serveOnce(t, func(w http.ResponseWriter, r *Request) {
		w.WriteHeader(201)
		w.WriteHeader(0) // no panic: it is late, as any other
		http.Error(w, "", 500)
	}, get("/"))
	if r := parseReply(t, raw); r.Status != 201 {
		t.Errorf("%+v", r)
	}
	const want = "TestLateWriteHeaderSaysWhereFrom.func1 (response_test.go:"
	if strings.Count(log, want) != 2 {
		t.Errorf("want %q twice in the log %s", want, log)
	}
}

// net/http's own writer is the measure: each of its methods is there, of the same
// type.
func TestResponseHasEveryMethodOfNetHTTP(t *testing.T) {
	ours := reflect.TypeFor[*response]()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		theirs := reflect.TypeOf(w)
		for i := range theirs.NumMethod() {
			want := theirs.Method(i)
			got, ok := ours.MethodByName(want.Name)
			if !ok || fmt.Sprint(got.Type)[len("func("+ours.String()):] != fmt.Sprint(want.Type)[len("func("+theirs.String()):] {
				t.Errorf("%s: have %v, want %v", want.Name, got.Type, want.Type)
			}
		}
	}))
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// A peer that goes away is what the channel is for; a handler that returns, or
// hands over the connection, is not.
func TestCloseNotify(t *testing.T) {
	onEachKind(t, func(t *testing.T, l net.Listener) {
		notified := make(chan (<-chan bool), 1)
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			notifier := w.(http.CloseNotifier) //lint:ignore SA1019 gin's Stream calls it
			gone := notifier.CloseNotify()
			if again := notifier.CloseNotify(); again != gone {
				t.Error("a second call returns another channel")
			}
			notified <- gone
			if r.Env.Get("REQUEST_URI") == "/wait" {
				if !<-gone {
					t.Error("the channel is closed")
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
			t.Error("the handler's end was notified")
		default:
		}
	})
}

// What is dropped of a header is told, but for what net/http's handlers may set
// and CGI has no place for.
func TestDroppedFieldsAreLogged(t *testing.T) {
	for name, logged := range map[string]bool{"X B": true, "Content-Length": true, http.TrailerPrefix + "X": false, "Transfer-Encoding": false} {
		_, log := serveOnce(t, func(w http.ResponseWriter, r *Request) { w.Header()[name] = []string{"x"} }, get("/"))
		if got := log != ""; got != logged {
			t.Errorf("%s: %q was logged", name, log)
		}
	}
	_, log := serveOnce(t, func(w http.ResponseWriter, r *Request) { w.Header().Set("Content-Length", "1") }, get("/"))
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

func TestOneWriteForAPageThatFits(t *testing.T) {
	client, server := net.Pipe()
	var writes atomic.Int64
	l := &oneConn{conns: make(chan net.Conn, 1)}
	l.conns <- writeCounter{server, &writes}
	start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
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
	defer func() { recover() }() // twice
	close(l.conns)
	return nil
}

func TestReadFromFile(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 100000)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for size, length := range map[int]string{len(content): "", 100: "", 0: "", 500000: "500000", scratchSize / 2: "", scratchSize/2 + 1: ""} {
		raw, _ := serveOnce(t, func(w http.ResponseWriter, r *Request) {
			f, err := os.Open(name)
			if err != nil {
				panic(err)
			}
			defer f.Close()
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			n, err := io.CopyN(w, f, int64(size))
			if n != int64(size) || err != nil {
				t.Errorf("CopyN of %d: %d, %v", size, n, err)
			}
		}, get("/"))
		if r := parseReply(t, raw); r.Body != string(content[:size]) {
			t.Errorf("%d bytes were sent as %d others", size, len(r.Body))
		}
	}
	// More than was declared is an error, and not sent.
	onEachKind(t, func(t *testing.T, l net.Listener) {
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			f, _ := os.Open(name)
			defer f.Close()
			w.Header().Set("Content-Length", "50000")
			if _, err := io.Copy(w, f); err != http.ErrContentLength {
				t.Errorf("too long a file: %v", err)
			}
		})}, l)
		c := dial(t, l.Addr())
		io.WriteString(c, get("/"))
		raw, _ := io.ReadAll(c)
		if _, body, _ := strings.Cut(string(raw), "\r\n\r\n"); len(body) > 50000 || !bytes.HasPrefix(content, []byte(body)) {
			t.Errorf("%d bytes were sent", len(body))
		}
	})
}

func TestReadFromOthers(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 10000)
	raw, _ := serveOnce(t, func(w http.ResponseWriter, r *Request) {
		n, err := io.Copy(w, struct{ io.Reader }{strings.NewReader(content)})
		if n != int64(len(content)) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}, get("/"))
	if r := parseReply(t, raw); r.Body != content {
		t.Errorf("%d bytes were sent", len(r.Body))
	}
}

func TestAbortedReplyIsCut(t *testing.T) {
	for _, kind := range []string{"tcp", "tcp portable"} {
		for name, h := range map[string]HandlerFunc{
			"panic": func(w http.ResponseWriter, r *Request) {
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			},
			"short": func(w http.ResponseWriter, r *Request) {
				w.Header().Set("Content-Length", "10")
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
			},
		} {
			l := listen(t, kind)
			start(t, &Server{Handler: h}, l)
			c := dial(t, l.Addr())
			io.WriteString(c, get("/"))
			if _, err := io.ReadAll(c); err == nil {
				t.Errorf("%s, %s: the reply seems whole", kind, name)
			}
		}
	}
}

// On TCP a reply without a Content-Length that breaks off must end by a reset: a
// close in order is how a whole one ends.
func TestReplyThatBreaksOffIsReset(t *testing.T) {
	much := make([]byte, 1<<20)
	writeToTheEnd := func(w http.ResponseWriter) {
		for {
			if _, err := w.Write(much); err != nil {
				return
			}
		}
	}
	for name, h := range map[string]func(s *Server) HandlerFunc{
		"WriteTimeout": func(s *Server) HandlerFunc {
			s.WriteTimeout = 10 * time.Millisecond
			return func(w http.ResponseWriter, r *Request) { writeToTheEnd(w) }
		},
		"own deadline": func(*Server) HandlerFunc {
			return func(w http.ResponseWriter, r *Request) {
				rc := http.NewResponseController(w)
				if err := errors.Join(rc.Flush(), rc.SetWriteDeadline(time.Unix(1, 0))); err != nil {
					t.Error(err)
				}
				writeToTheEnd(w)
			}
		},
		"Close": func(s *Server) HandlerFunc {
			return func(w http.ResponseWriter, r *Request) {
				io.WriteString(w, "half")
				w.(http.Flusher).Flush()
				s.Close()
			}
		},
	} {
		for _, kind := range []string{"tcp", "tcp portable"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				l := listen(t, kind)
				ended := make(chan bool)
				s := &Server{}
				inner := h(s)
				s.Handler = HandlerFunc(func(w http.ResponseWriter, r *Request) {
					defer close(ended)
					inner(w, r)
				})
				start(t, s, l)
				c := dial(t, l.Addr())
				io.WriteString(c, get("/"))
				<-ended // and only then is the reply read
				if raw, err := io.ReadAll(c); err == nil {
					t.Errorf("the reply of %d bytes seems whole", len(raw))
				}
			})
		}
	}
}

// Close takes back no reply that was sent: not even one whose peer still sends.
func TestCloseLeavesWholeRepliesAlone(t *testing.T) {
	for _, kind := range []string{"tcp", "tcp portable"} {
		l := listen(t, kind)
		replied := make(chan bool)
		s := &Server{
			Handler:   HandlerFunc(func(w http.ResponseWriter, r *Request) { io.WriteString(w, "whole") }),
			AccessLog: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) { close(replied); return len(p), nil }), nil)),
		}
		start(t, s, l)
		c := dial(t, l.Addr())
		request := post("/", "body")
		io.WriteString(c, request[:len(request)-1])
		<-replied
		s.Close()
		if raw, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(raw), "whole") {
			t.Errorf("%s: %q, %v", kind, raw, err)
		}
	}
}

// countedFile tells how much of it was copied through the program.
type countedFile struct {
	*os.File
	copied int
}

func (f *countedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.copied += n
	return n, err
}

func (f *countedFile) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct {
		socket.File
		io.Seeker
	}{f, f}) // as os.File's own does
}

func TestFilesAreSentWithoutCopying(t *testing.T) {
	const size = 1 << 20
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"tcp", "unix"} {
		l := listen(t, kind)
		if runtime.GOOS != "linux" {
			t.Skip("left to package net on this system")
		}
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			plain, err := os.Open(name)
			if err != nil {
				panic(err)
			}
			defer plain.Close()
			f := &countedFile{File: plain}
			var n int64
			if r.Env.Get("REQUEST_URI") == "/limited" { // as http.ServeContent does
				n, err = io.CopyN(w, f, size)
			} else {
				n, err = io.Copy(w, f)
			}
			if n != size || err != nil || f.copied > scratchSize {
				t.Errorf("%s: %d bytes, %v; %d were copied", kind, n, err, f.copied)
			}
		})}, l)
		for _, uri := range []string{"/", "/limited"} {
			if raw := ask(t, l.Addr(), get(uri)); len(raw) < size {
				t.Errorf("%s: %d bytes arrive", kind, len(raw))
			}
		}
	}
}
