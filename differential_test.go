package scgi

// differential_test.go owns a second parser, written from the specification's
// grammar alone, and compares the two. Rule: it is slow and plain, it shares no
// code with what it judges, and where the two may differ is a table with a
// reason for each row.

import (
	"math/big"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// leniencies are the rules of the specification that a Server breaks unless it
// is Strict, since web servers that are in use break them.
var leniencies = map[string]string{
	"length not first": "Apache sends CONTENT_LENGTH after its SSL variables; nginx wherever scgi_param puts it",
	"body cut":         "nginx passes on no body for auth_request, error_page and X-Accel-Redirect; reading it fails",
	"name twice":       "nginx passes on each field of a repeated header, and scgi_param may repeat one",
}

// restrictions are the rules of this package alone.
var restrictions = map[string]string{
	"many":                         "a variable costs many times its bytes in memory",
	"client's length past 63 bits": "no server takes such a body",
}

// verdict is what a request's input comes to.
type verdict struct {
	status int         // 0: closed without an answer
	pairs  [][2]string // of a served one
	body   string
	short  bool
	broken []string // the rules, of the specification and this package, that it breaks
}

var (
	digits      = regexp.MustCompile(`^[0-9]*`)
	plainNumber = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
	decimal     = regexp.MustCompile(`^[0-9]+$`)
)

// judge reads a whole input, after which there is no more.
func judge(input string, strict bool) verdict {
	if input == "" {
		return verdict{}
	}
	size := digits.FindString(input)
	rest := input[len(size):]
	switch {
	case !plainNumber.MatchString(size):
		return verdict{status: 400}
	case number(size).Cmp(big.NewInt(DefaultMaxHeaderBytes)) > 0:
		return verdict{status: 431}
	case !strings.HasPrefix(rest, ":"):
		return verdict{status: 400}
	}
	n := int(number(size).Int64())
	rest = rest[1:]
	if len(rest) <= n || rest[n] != ',' {
		return verdict{status: 400}
	}
	return judgeBlock(rest[:n], rest[n+1:], strict)
}

func number(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 10)
	return n
}

func judgeBlock(block, rest string, strict bool) verdict {
	if strings.HasSuffix(block, "\x00") && strings.Count(block, "\x00") > 2000 {
		return verdict{status: 431, broken: []string{"many"}}
	}
	pairs, ok := parseSlowly([]byte(block))
	if !ok {
		return verdict{status: 400}
	}
	length, broken := judgePairs(pairs)
	v := verdict{status: 200, pairs: pairs, broken: broken}
	for _, rule := range broken {
		if leniencies[rule] == "" || strict {
			return verdict{status: 400, broken: broken}
		}
	}
	if length.Cmp(big.NewInt(DefaultMaxBodyBytes)) > 0 {
		return verdict{status: 413}
	}
	n := int(length.Int64())
	v.body, v.short = rest[:min(n, len(rest))], len(rest) < n
	if slices.Contains(broken, "body cut") {
		v.body, v.short = "", true
	}
	return v
}

// judgePairs returns the body's length and the rules that are broken.
func judgePairs(pairs [][2]string) (length *big.Int, broken []string) {
	add := func(is bool, rule string) {
		if is {
			broken = append(broken, rule)
		}
	}
	values := make(map[string][]string)
	twice := false
	for _, p := range pairs {
		twice = twice || values[p[0]] != nil
		values[p[0]] = append(values[p[0]], p[1])
	}
	add(twice, "name twice")
	lengths := values["CONTENT_LENGTH"]
	if len(lengths) == 0 || !decimal.MatchString(lengths[0]) || !number(lengths[0]).IsInt64() {
		return nil, append(broken, "no length")
	}
	length = number(lengths[0])
	add(pairs[0][0] != "CONTENT_LENGTH", "length not first")
	for _, again := range lengths[1:] {
		add(again != "" && (!decimal.MatchString(again) || number(again).Cmp(length) != 0), "lengths differ")
	}
	add(len(values["SCGI"]) == 0, "no version")
	for _, version := range values["SCGI"] {
		add(version != "1", "wrong version")
	}
	for _, said := range values["HTTP_CONTENT_LENGTH"] {
		isNumber := decimal.MatchString(said)
		add(isNumber && !number(said).IsInt64(), "client's length past 63 bits")
		add(isNumber && number(said).IsInt64() && number(said).Cmp(length) > 0, "body cut")
	}
	return length, broken
}

// parsed is what the package makes of the input.
func parsed(input string, strict bool) verdict {
	if input == "" {
		return verdict{}
	}
	s := &Server{Strict: strict}
	s.init()
	x, err := s.begin(newConn(s, &recorder{}), []byte(input))
	switch {
	case err != nil:
		return verdict{status: err.(*refusal).status}
	case x == nil: // and no more comes
		return verdict{status: http.StatusBadRequest}
	}
	v := verdict{status: 200, body: x.body.early, short: int64(len(x.body.early)) < x.ContentLength}
	if x.body.isCut { // and so can't be read
		v.body = ""
	}
	for name, value := range x.Env.All() {
		v.pairs = append(v.pairs, [2]string{name, value})
	}
	return v
}

// compare fails t where the two parsers differ.
func compare(t *testing.T, input string) {
	t.Helper()
	for _, strict := range []bool{false, true} {
		want, got := judge(input, strict), parsed(input, strict)
		if got.status != want.status || got.body != want.body || got.short != want.short || !equalPairs(got.pairs, want.pairs) {
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
		broken := judge(input, true).broken
		if len(broken) != 1 || broken[0] != rule || strict.status < 400 {
			t.Errorf("%s: broken %q, strict answers %d", rule, broken, strict.status)
		}
		if isLeniency := leniencies[rule] != ""; isLeniency != (lenient.status == 200) || isLeniency == (restrictions[rule] != "") {
			t.Errorf("%s: answered with %d", rule, lenient.status)
		}
	}
}

func TestParsersAgree(t *testing.T) {
	requests := smallRequests(t)
	for _, v := range vectors(t) {
		requests[v.name] = v.input
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, request := range requests {
		compare(t, request)
		for range 40 {
			compare(t, distort(r, request))
		}
	}
}

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

// flip returns s with its i-th bit inverted.
func flip(s string, i int) string {
	b := []byte(s)
	b[i/8] ^= 1 << (i % 8)
	return string(b)
}

// Invariant: whatever the input, both parsers accept it with the same
// variables and body, or answer with the same status.
func FuzzDifferential(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.input)
	}
	f.Fuzz(func(t *testing.T, input string) { compare(t, input) })
}
