package scgi

// reference_test.go owns the comparison with the protocol's first server, the
// Python package scgi, where that is installed (pip install scgi). Rule: what
// this package takes, the reference takes too and reads alike; what only the
// reference takes is a row of a table that says why.

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// referenceProgram answers each line, a JSON string of bytes, with what the
// reference makes of them.
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

// onlyReference says why the reference takes what this package refuses. The
// specification is with this package, but for the last three rows, on which it
// is silent.
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
	requests := smallRequests(t)
	for _, v := range vectors(t) {
		requests[v.Name] = v.Input
	}
	compareReference(t, ask, encode("", "CONTENT_LENGTH", "0", "SCGI", "1", "X", strings.Repeat("x", DefaultMaxHeaderBytes)), used)
	for _, request := range requests {
		compareReference(t, ask, request, used)
		for range 100 {
			compareReference(t, ask, distort(r, request), used)
		}
	}
	for reason, why := range onlyReference {
		if !used[reason] {
			t.Errorf("nothing is refused with %q that the reference takes: %s", reason, why)
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
			t.Errorf("%.300q: the reference takes it, refused with %v", input, reason)
		}
	case x == nil: // both refuse it, or wait for more
	case got.Error != "":
		if lastValue(x.Env, "CONTENT_LENGTH") == "" {
			return // it takes the last of them, this package the first; nginx may send an empty one after it
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

// latin1 has a character for each byte of s.
func latin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// startReference skips t if there is none.
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
