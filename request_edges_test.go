package scgi

// request_edges_test.go owns what the mutation tool found that no other test
// would notice.

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func TestWithContextRefusesNil(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a nil context was taken")
		}
	}()
	new(Request).WithContext(nil) //lint:ignore SA1012 it is what is tested
}

// Only a GET or HEAD that no body was announced for is known to be alone.
func TestAlone(t *testing.T) {
	for _, test := range []struct {
		h    header
		want bool
	}{
		{header{isGet: true}, true},
		{header{isHead: true}, true},
		{header{}, false},
		{header{isGet: true, length: 1}, false},
		{header{isGet: true, client: 1}, false},
		{header{isHead: true, length: 1}, false},
		{header{isGet: true, isSent: true}, false},
		{header{isHead: true, isSent: true}, false},
	} {
		if got := test.h.alone(); got != test.want {
			t.Errorf("%+v: %t", test.h, got)
		}
	}
}

func TestBodyReadsNothingInVain(t *testing.T) {
	b := &body{conn: iotest.ErrReader(errTest)}
	b.left.Store(4)
	if n, err := b.Read(nil); n != 0 || err != nil {
		t.Errorf("an empty read: %d, %v", n, err)
	}
	if n, err := b.Read(make([]byte, 4)); n != 0 || !errors.Is(err, errTest) {
		t.Errorf("a failed read: %d, %v", n, err)
	}
	b.Close()
	if n, err := b.Read(make([]byte, 4)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("a read after Close: %d, %v", n, err)
	}
}

// Who waits for the end of the body is told when it is there, not before.
func TestWhenRead(t *testing.T) {
	told := 0
	b := &body{conn: strings.NewReader("cd"), early: "ab"}
	b.left.Store(4)
	b.whenRead(func() { told++ })
	for i, want := range []int{0, 0, 0, 1} {
		if _, err := b.Read(make([]byte, 1)); err != nil || told != want {
			t.Errorf("after %d bytes: told %d times, %v", i+1, told, err)
		}
	}
	b.whenRead(func() { told++ })
	if told != 2 {
		t.Error("whoever comes late is not told")
	}
}

// A buffer of any size is read into, by whichever system call.
func TestBodyIntoAnyBuffer(t *testing.T) {
	body := strings.Repeat("body", 50_000)
	onEachKind(t, func(t *testing.T, l net.Listener) {
		sizes := make(chan int, 1)
		start(t, &Server{Handler: HandlerFunc(func(w http.ResponseWriter, r *Request) {
			buf := make([]byte, <-sizes)
			for {
				n, err := r.Body.Read(buf)
				w.Write(buf[:n])
				if err != nil {
					return
				}
			}
		})}, l)
		for _, size := range []int{1 << 7, 1 << 12, 1 << 20} {
			sizes <- size
			if r := parseReply(t, ask(t, l.Addr(), post("/", body))); r.Body != body {
				t.Errorf("with a buffer of %d: %d bytes", size, len(r.Body))
			}
		}
	})
}
