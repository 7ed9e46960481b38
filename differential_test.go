package scgi

// differential_test.go owns a second parser, written from the specification's
// grammar alone, and compares the two. Rule: it is slow and plain, it shares no
// code with what it judges, and where the two may differ is a table with a
// reason for each row.

import (
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/scgi/internal/scgitest"
)

// parsed is what the package makes of the input.
func parsed(input string, strict bool) scgitest.Verdict {
	if input == "" {
		return scgitest.Verdict{}
	}
	s := &Server{Strict: strict}
	s.init()
	x, refused := s.begin(newConn(s, &recorder{}), []byte(input))
	switch {
	case refused != nil:
		return scgitest.Verdict{Status: refused.status}
	case x == nil: // and no more comes
		return scgitest.Verdict{Status: http.StatusBadRequest}
	}
	v := scgitest.Verdict{Status: 200, Body: x.body.early, Short: int64(len(x.body.early)) < x.ContentLength}
	if x.body.isCut { // and so can't be read
		v.Body = ""
	}
	for name, value := range x.Env.All() {
		v.Pairs = append(v.Pairs, [2]string{name, value})
	}
	return v
}

// compare fails t where the two parsers differ.
func compare(t *testing.T, input string) {
	t.Helper()
	for _, strict := range []bool{false, true} {
		want, got := scgitest.Judge(input, strict), parsed(input, strict)
		if got.Status != want.Status || got.Body != want.Body || got.Short != want.Short || !equalPairs(got.Pairs, want.Pairs) {
			t.Errorf("strict %t, %.300q:\n got %+v\nwant %+v", strict, input, got, want)
		}
	}
}

func equalPairs(a, b [][2]string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Each row of the tables is a difference that there is.
func TestDifferencesFromTheGrammar(t *testing.T) {
	for rule, input := range map[string]string{
		"length not first":             encode("", "SCGI", "1", "CONTENT_LENGTH", "0"),
		"name twice":                   encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "A", "1", "A", "2"),
		"many":                         encode("", slices.Repeat([]string{"CONTENT_LENGTH", "0"}, 1001)...),
		"client's length past 63 bits": encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_CONTENT_LENGTH", "9223372036854775808"),
		"body cut":                     encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_CONTENT_LENGTH", "1"),
	} {
		lenient, strict := parsed(input, false), parsed(input, true)
		broken := scgitest.Judge(input, true).Broken
		if len(broken) != 1 || broken[0] != rule || strict.Status < 400 {
			t.Errorf("%s: broken %q, strict answers %d", rule, broken, strict.Status)
		}
		if isLeniency := scgitest.Leniencies[rule] != ""; isLeniency != (lenient.Status == 200) || isLeniency == (scgitest.Restrictions[rule] != "") {
			t.Errorf("%s: answered with %d", rule, lenient.Status)
		}
	}
}

func TestParsersAgree(t *testing.T) {
	requests := smallRequests(t)
	for _, v := range vectors(t) {
		requests[v.Name] = v.Input
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, request := range requests {
		compare(t, request)
		for range 40 {
			compare(t, distort(r, request))
		}
	}
}

var digits = regexp.MustCompile(`^[0-9]*`)

// distort changes a request as a fuzzer does, but for its length often right,
// so that what is inside is met.
func distort(r *rand.Rand, s string) string {
	words := []string{"CONTENT_LENGTH", "SCGI", "HTTP_CONTENT_LENGTH", "0", "1", "00", "27", "\x00", "\x00\x00", "9223372036854775808", "+1", ",", ":", "A"}
	size := digits.FindString(s)
	block, isWhole := strings.CutPrefix(s[len(size):], ":")
	if !isWhole || block == "" {
		return s
	}
	for range 1 + r.IntN(3) {
		i := r.IntN(len(block))
		j := min(len(block), i+r.IntN(16))
		switch r.IntN(3) {
		case 0:
			block = block[:i] + words[r.IntN(len(words))] + block[i:]
		case 1:
			block = block[:i] + words[r.IntN(len(words))] + block[j:]
		case 2:
			block = block[:j] + block[i:]
		}
	}
	if end := strings.LastIndex(block, "\x00,"); end >= 0 && r.IntN(8) > 0 {
		return string(appendNetstring(nil, block[:end+1])) + block[end+2:]
	}
	return size + ":" + block
}

// Every request with any one bit flipped is judged alike.
func TestParsersAgreeOnEveryFlippedBit(t *testing.T) {
	for _, request := range smallRequests(t) {
		for i := range 8 * len(request) {
			compare(t, flip(request, i))
		}
	}
}

// Invariant: whatever the input, both parsers accept it with the same
// variables and body, or answer with the same status.
func FuzzDifferential(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Input)
	}
	f.Fuzz(func(t *testing.T, input string) { compare(t, input) })
}
