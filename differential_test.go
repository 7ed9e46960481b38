package scgi

// differential_test.go compares the parser with two others. One is written from the
// specification's grammar alone: it is slow and plain, and shares no code with the parser
// under test. The other is the protocol's first server, the Python package scgi, if it is
// installed (pip install scgi). Tables list where they may differ, with a reason for each
// row.

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/scgi/internal/scgitest"
)

// parsed returns what this package makes of the input.
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
	case x == nil: // the input ends here
		return scgitest.Verdict{Status: http.StatusBadRequest}
	}
	v := scgitest.Verdict{Status: 200, Body: x.body.early, Short: int64(len(x.body.early)) < x.ContentLength}
	if x.body.isCut { // reading it fails
		v.Body = ""
	}
	for name, value := range x.Env.All() {
		v.Pairs = append(v.Pairs, [2]string{name, value})
	}
	return v
}

// compare fails t if the two parsers differ.
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

// Each row of the tables is a difference that exists.
func TestDifferencesFromTheGrammar(t *testing.T) {
	for rule, input := range map[string]string{
		"length not first":             scgitest.Encode("", "SCGI", "1", "CONTENT_LENGTH", "0"),
		"name twice":                   scgitest.Encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "A", "1", "A", "2"),
		"many":                         scgitest.Encode("", slices.Repeat([]string{"CONTENT_LENGTH", "0"}, 1001)...),
		"client's length past 63 bits": scgitest.Encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_CONTENT_LENGTH", "9223372036854775808"),
		"body cut":                     scgitest.Encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "HTTP_CONTENT_LENGTH", "1"),
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
	requests := scgitest.SmallRequests(t)
	for _, v := range scgitest.Vectors(t) {
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

// distort changes a request as a fuzzer does, but usually corrects its length, so that the
// parser gets to the content.
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

// The parsers agree on every request with any one bit flipped.
func TestParsersAgreeOnEveryFlippedBit(t *testing.T) {
	for _, request := range scgitest.SmallRequests(t) {
		for i := range 8 * len(request) {
			compare(t, scgitest.Flip(request, i))
		}
	}
}

// Invariant: for any input, both parsers accept it with the same variables and body, or
// answer with the same status.
func FuzzDifferential(f *testing.F) {
	for _, v := range scgitest.Vectors(f) {
		f.Add(v.Input)
	}
	f.Fuzz(func(t *testing.T, input string) { compare(t, input) })
}

// referenceProgram answers each line, a JSON string of bytes, with the reference's result.
const referenceProgram = `
import io, json, sys
from scgi.util import read_env
for line in sys.stdin:
    input = io.BytesIO(json.loads(line).encode('iso-8859-1'))
    try:
        env = read_env(input)
        answer = {'Env': env, 'Body': input.read(int(env.get('CONTENT_LENGTH', 0))).decode('iso-8859-1')}
    except Exception as e:
        answer = {'Error': str(e) or 'error'}
    print(json.dumps(answer), flush=True)
`

type referenceAnswer struct {
	Env         map[string]string
	Body, Error string
}

// onlyReference says why the reference accepts what this package refuses. The specification
// agrees with this package, except that it says nothing on the last three rows.
var onlyReference = map[error]string{
	errNetstringLength:    "int() takes signs, spaces, underscores and leading zeros",
	errHeaderUnterminated: "it drops what follows the last NUL",
	errHeaderName:         "it does not look",
	errLengthMissing:      "it takes 0",
	errLengthSyntax:       "int() again",
	errLengthTwice:        "the last one counts",
	errVersionMissing:     "it does not look",
	errVersion:            "it does not look",
	errNetstringLimit:     "it has no limits",
	errBodyLimit:          "it has no limits",
}

func TestReferenceAgrees(t *testing.T) {
	ask := startReference(t)
	used := make(map[error]bool)
	r := rand.New(rand.NewPCG(3, 4))
	requests := scgitest.SmallRequests(t)
	for _, v := range scgitest.Vectors(t) {
		requests[v.Name] = v.Input
	}
	compareReference(t, ask, scgitest.Encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "X", strings.Repeat("x", DefaultMaxHeaderBytes)), used)
	for _, request := range requests {
		compareReference(t, ask, request, used)
		for range 100 {
			compareReference(t, ask, distort(r, request), used)
		}
	}
	for reason, why := range onlyReference {
		if !used[reason] {
			t.Errorf("the reference accepts nothing that is refused with %q: %s", reason, why)
		}
	}
}

func compareReference(t *testing.T, ask func(string) referenceAnswer, input string, used map[error]bool) {
	t.Helper()
	s := &Server{}
	s.init()
	x, refused := s.begin(newConn(s, &recorder{}), []byte(input))
	got := ask(input)
	switch {
	case refused != nil && got.Error == "":
		reason := refused.reason
		used[reason] = true
		if onlyReference[reason] == "" {
			t.Errorf("%.300q: the reference accepts it, this package refuses it with %v", input, reason)
		}
	case x == nil: // both refuse it or wait for more
	case got.Error != "":
		if lastValue(x.Env, "CONTENT_LENGTH") == "" {
			return // it uses the last value, this package the first; nginx may send an empty one last
		}
		t.Errorf("%.300q: the reference refuses it: %s", input, got.Error)
	default:
		env := make(map[string]string)
		for name, value := range x.Env.All() {
			env[latin1(name)] = latin1(value)
		}
		if fmt.Sprint(env) != fmt.Sprint(got.Env) || latin1(x.body.early) != got.Body && !x.body.isCut {
			t.Errorf("%.300q: the reference reads %q and %q", input, got.Env, got.Body)
		}
	}
}

func lastValue(env Env, of string) (last string) {
	for name, value := range env.All() {
		if name == of {
			last = value
		}
	}
	return last
}

// latin1 returns a string with a character for each byte of s.
func latin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// startReference skips t if the reference is not installed.
func startReference(t *testing.T) (ask func(input string) referenceAnswer) {
	t.Helper()
	if out, err := exec.Command("python3", "-c", "import scgi.util").CombinedOutput(); err != nil {
		t.Skipf("the Python package scgi is not installed: %v %s", err, out)
	}
	cmd := exec.Command("python3", "-c", referenceProgram)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	lines := json.NewEncoder(in)
	answers := json.NewDecoder(out)
	return func(input string) (a referenceAnswer) {
		if err := lines.Encode(latin1(input)); err != nil {
			t.Fatal(err)
		}
		if err := answers.Decode(&a); err != nil {
			t.Fatal(err)
		}
		return a
	}
}
