// Package faults tests what breaks servers: cut and flipped bytes, hostile peers and
// handlers, a machine that runs out of resources, and a long mixed load. Its tests use only
// what an app can use.
package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/scgitest"
)

// patience bounds a wait that is short unless the code under test is broken.
const patience = scgitest.Patience

var (
	listen        = scgitest.Listen
	shortTempDir  = scgitest.TempDir
	onEachKind    = scgitest.OnEachKind
	dial          = scgitest.Dial
	encode        = scgitest.Encode
	get           = scgitest.Get
	post          = scgitest.Post
	ask           = scgitest.Ask
	parseReply    = scgitest.ParseReply
	vectors       = scgitest.Vectors
	within        = scgitest.Within
	exchangeOn    = scgitest.Exchange
	smallRequests = scgitest.SmallRequests
	flip          = scgitest.Flip
	memoryInUse   = scgitest.MemoryInUse
	formRequest   = scgitest.FormPost
)

type (
	readerFunc = scgitest.ReaderFunc
	writerFunc = scgitest.WriterFunc
	syncBuffer = scgitest.Buffer
)

// start serves on l until the test ends, waits for that, and logs into the returned buffer.
func start(t testing.TB, s *scgi.Server, l net.Listener) *syncBuffer {
	t.Helper()
	return scgitest.Start(t, s, &s.Logger, l, scgi.ErrServerClosed)
}

// pipeServer serves connections of net.Pipe, for a synctest bubble.
func pipeServer(t *testing.T, s *scgi.Server) (dial func() net.Conn) {
	l := scgitest.NewPipeListener()
	start(t, s, l)
	return l.Dial
}

// echo answers with the body, and with the error from reading it, if any.
var echo = scgi.HandlerFunc(func(w http.ResponseWriter, r *scgi.Request) {
	body, err := io.ReadAll(r.Body)
	w.Header().Set("X-Short", fmt.Sprint(err != nil))
	w.Write(body)
})

// serveOnce returns h's reply to request.
func serveOnce(t *testing.T, h scgi.HandlerFunc, request string) string {
	t.Helper()
	l := listen(t, "unix")
	start(t, &scgi.Server{Handler: h}, l)
	return ask(t, l.Addr(), request)
}
