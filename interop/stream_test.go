package interop_test

// stream_test.go tests replies that arrive while their handler still runs, streamed
// uploads, and clients that go away. Handler and client wait for each other by channels,
// never for the clock.

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

// streaming has the directive that lighttpd needs to pass on a reply as it comes. nginx
// needs X-Accel-Buffering: no in the reply, and Apache nothing.
var streaming = map[webserver.Kind]string{
	webserver.Lighttpd: "server.stream-response-body = 1",
}

func TestStreamedReply(t *testing.T) {
	seen := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-seen:
			case <-r.Context().Done():
				return
			}
		}
	})
	site{handler: scgi.HTTPHandler(h), extra: streaming}.each(t, func(t *testing.T, fr front) {
		conn := dial(t, fr.addr)
		_, _ = io.WriteString(conn, get("/").head())
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for i := range 3 {
			line, err := lines.ReadString('\n')
			if want := fmt.Sprintf("data: %d\n", i); line != want || err != nil {
				t.Fatalf("got %q, %v, want %q", line, err, want)
			}
			signal(t, seen)
		}
		if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
			t.Errorf("then %q, %v", rest, err)
		}
	})
}

// streamingUploads has the directives that web servers need to pass on a request as it
// comes.
var streamingUploads = map[webserver.Kind]string{
	webserver.Nginx:    "scgi_request_buffering off;",
	webserver.Lighttpd: "server.stream-request-body = 1",
}

// losingUploads are web servers that, told to stream a body, announce only as much of it as
// they have received, less than the client's length.
var losingUploads = nginx.before("1.29.6")

func TestStreamedUpload(t *testing.T) {
	seen := make(chan string, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, len("first half, "))
		if _, err := io.ReadFull(r.Body, first); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		seen <- string(first)
		rest, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s, %v", rest, err)
	})
	site{handler: scgi.HTTPHandler(h), extra: streamingUploads}.each(t, func(t *testing.T, fr front) {
		c := call{method: "POST", target: "/", body: "first half, second half"}
		conn := dial(t, fr.addr)
		_, _ = io.WriteString(conn, c.head()+"first half, ")
		if losingUploads.include(fr) {
			readAnswer(bufio.NewReader(conn), c.method).ok(t, http.StatusBadRequest)
			return
		}
		receive(t, seen, "the first half")
		_, _ = io.WriteString(conn, "second half")
		if a := readAnswer(bufio.NewReader(conn), c.method).ok(t, http.StatusOK); a.body != "second half, <nil>" {
			t.Errorf("then %q", a.body)
		}
	})
}

// nginx closes the SCGI connection as soon as its client is gone.
func TestClientGone(t *testing.T) {
	testClientGone(t, site{only: webserver.Nginx}, func(ctx context.Context, _ http.ResponseWriter) {
		<-ctx.Done()
	})
}

// Apache, and lighttpd if it streams, close the connection when they fail to write to the
// client.
func TestClientGoneFromStream(t *testing.T) {
	testClientGone(t, site{extra: streaming}, func(ctx context.Context, w http.ResponseWriter) {
		piece := make([]byte, 1024)
		for ctx.Err() == nil {
			if _, err := w.Write(piece); err != nil {
				<-ctx.Done()
			}
			w.(http.Flusher).Flush()
		}
	})
}

// testClientGone runs work until its client is gone. A handler that is not told returns
// after patience.
func testClientGone(t *testing.T, s site, work func(context.Context, http.ResponseWriter)) {
	working, gone := make(chan struct{}), make(chan error)
	s.handler = scgi.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Accel-Buffering", "no")
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		working <- struct{}{}
		work(ctx, w)
		gone <- context.Cause(ctx)
	}))
	s.each(t, func(t *testing.T, fr front) {
		conn := dial(t, fr.addr)
		_, _ = io.WriteString(conn, get("/").head())
		receive(t, working, "the handler")
		_ = conn.Close()
		if err := receive(t, gone, "the handler's context"); err != context.Canceled {
			t.Errorf("the context ended with %v", err)
		}
	})
}
