package scgitest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"example.com/scgi/internal/wire"
)

// vectors.go reads the requests that tests share: the vectors, and captures of web servers.

// A Vector is a request in testdata/vectors/requests.json.
type Vector struct {
	Name, Input    string
	Expect, Strict string // a status or "closed"
	Body           string // what the handler reads
	Short          bool   // whether reading it ends in an error
}

// GoesOn reports whether bytes follow the request. The server may close the connection
// before they arrive.
func (v Vector) GoesOn() bool {
	size, rest, _ := strings.Cut(v.Input, ":")
	n, ok := wire.ParseDecimal(size)
	if !ok || v.Expect != "200" || int64(len(rest)) <= n {
		return false
	}
	_, length, _ := strings.Cut(rest[:n], "CONTENT_LENGTH\x00")
	length, _, _ = strings.Cut(length, "\x00")
	body, _ := wire.ParseDecimal(length)
	return int64(len(rest))-n-1 > body
}

// Vectors reads requests.json. The README beside it describes the fields.
func Vectors(t testing.TB) (vs []Vector) {
	var rows []struct {
		Name, Rule, Input, Body string
		Expect                  any // a status or "closed"
		Strict                  int
		Short                   bool
		Optional                bool // other servers may differ
	}
	readVectors(t, "requests.json", &rows)
	for _, r := range rows {
		if r.Name == "" || r.Rule == "" {
			t.Fatalf("a vector has no name or no rule: %+v", r)
		}
		v := Vector{Name: r.Name, Input: fromLatin1(r.Input), Expect: fmt.Sprint(r.Expect), Body: fromLatin1(r.Body), Short: r.Short}
		v.Strict = v.Expect
		if r.Strict != 0 {
			v.Strict = strconv.Itoa(r.Strict)
		}
		vs = append(vs, v)
	}
	if len(vs) < 50 || vs[0].Name != "the specification's own example" {
		t.Fatalf("only %d vectors, or another one first", len(vs))
	}
	return vs
}

// Testdata returns the path of the module's testdata.
func Testdata(t testing.TB) string {
	for dir := "."; len(dir) < 10; dir = filepath.Join("..", dir) {
		if _, err := os.Stat(filepath.Join(dir, "testdata", "vectors")); err == nil {
			return filepath.Join(dir, "testdata")
		}
	}
	t.Fatal("testdata is in none of the parent folders")
	return ""
}

// fromLatin1 returns the bytes of s, which has one character for each byte.
func fromLatin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// SmallRequests returns the specification's example, two requests made by hand, and some
// that real web servers sent.
func SmallRequests(t testing.TB) map[string]string {
	requests := map[string]string{
		"the specification's": Vectors(t)[0].Input,
		"get":                 Get("/pizza?kind=hawaii"),
		"post":                Post("/order", "kind=hawaii&size=large"),
	}
	for _, name := range []string{"nginx-1.22/post-small", "nginx-1.22/get-query", "lighttpd-1.4.69/post-form", "apache-2.4.71/post-small", "apache-2.4.71/delete"} {
		input, err := os.ReadFile(filepath.Join(Testdata(t), "captures", name+".scgi"))
		if err != nil {
			t.Fatal(err)
		}
		requests[name] = string(input)
	}
	return requests
}

// Flip returns s with its i-th bit inverted.
func Flip(s string, i int) string {
	b := []byte(s)
	b[i/8] ^= 1 << (i % 8)
	return string(b)
}

// A ReplyVector is a reply in testdata/vectors/replies.json.
type ReplyVector struct {
	Name, Rule, Method, Input string
	Status                    int
	Reason                    string
	Fields                    http.Header
	Body                      string
	Refuse                    string // why the client refuses it; if set, the fields below are empty
	Optional                  bool   // other clients may differ
}

// Replies reads replies.json. The README beside it describes the fields.
func Replies(t testing.TB) (vs []ReplyVector) {
	readVectors(t, "replies.json", &vs)
	used := make(map[string]bool)
	for i := range vs {
		v := &vs[i]
		if v.Name == "" || v.Rule == "" || used[v.Name] || (v.Status == 0) == (v.Refuse == "") {
			t.Fatalf("a reply needs a name of its own, a rule, and either a status or a reason to refuse it: %+v", v)
		}
		used[v.Name] = true
		v.Method = cmp.Or(v.Method, http.MethodGet)
		v.Input, v.Body = fromLatin1(v.Input), fromLatin1(v.Body)
		if v.Fields == nil {
			v.Fields = make(http.Header)
		}
		for _, values := range v.Fields {
			for i := range values {
				values[i] = fromLatin1(values[i])
			}
		}
	}
	if len(vs) < 50 {
		t.Fatalf("only %d replies", len(vs))
	}
	return vs
}

// readVectors reads a file in testdata/vectors into rows. An unknown key fails the test.
func readVectors(t testing.TB, file string, rows any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Testdata(t), "vectors", file))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(rows); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
