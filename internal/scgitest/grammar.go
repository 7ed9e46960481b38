package scgitest

// grammar.go is a second parser, written from the specification's grammar alone. It is slow
// and plain, and shares no code with the parser under test. Tables list where the two may
// differ, with a reason for each row.

import (
	"bytes"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// The defaults of scgi.Server.
const (
	maxHeaderBytes = 64 << 10
	maxBodyBytes   = 1 << 30
)

// Leniencies are the rules of the specification that a Server does not enforce unless it is
// Strict, since web servers in use break them.
var Leniencies = map[string]string{
	"length not first": "Apache sends CONTENT_LENGTH after its SSL variables; nginx wherever scgi_param puts it",
	"body cut":         "nginx passes on no body for auth_request, error_page and X-Accel-Redirect; reading it fails",
	"name twice":       "nginx passes on each field of a repeated header, and scgi_param may repeat one",
}

// Restrictions are rules of package scgi that the specification does not have.
var Restrictions = map[string]string{
	"many":                         "a variable costs many times its bytes in memory",
	"client's length past 63 bits": "no server takes such a body",
}

// A Verdict is the result of parsing a request's input.
type Verdict struct {
	Status int         // 0 if the connection is closed without an answer
	Pairs  [][2]string // set if the request is served
	Body   string
	Short  bool
	Broken []string // the Leniencies and Restrictions that the input breaks
}

var (
	digits      = regexp.MustCompile(`^[0-9]*`)
	plainNumber = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
	decimal     = regexp.MustCompile(`^[0-9]+$`)
)

// Judge parses input, which is all that the client sends.
func Judge(input string, strict bool) Verdict {
	if input == "" {
		return Verdict{}
	}
	size := digits.FindString(input)
	rest := input[len(size):]
	switch {
	case !plainNumber.MatchString(size):
		return Verdict{Status: 400}
	case number(size).Cmp(big.NewInt(maxHeaderBytes)) > 0:
		return Verdict{Status: 431}
	case !strings.HasPrefix(rest, ":"):
		return Verdict{Status: 400}
	}
	n := int(number(size).Int64())
	rest = rest[1:]
	if len(rest) <= n || rest[n] != ',' {
		return Verdict{Status: 400}
	}
	return judgeBlock(rest[:n], rest[n+1:], strict)
}

func number(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 10)
	return n
}

func judgeBlock(block, rest string, strict bool) Verdict {
	if strings.HasSuffix(block, "\x00") && strings.Count(block, "\x00") > 2000 {
		return Verdict{Status: 431, Broken: []string{"many"}}
	}
	pairs, ok := ParseGrammar([]byte(block))
	if !ok {
		return Verdict{Status: 400}
	}
	length, broken := judgePairs(pairs)
	v := Verdict{Status: 200, Pairs: pairs, Broken: broken}
	for _, rule := range broken {
		if Leniencies[rule] == "" || strict {
			return Verdict{Status: 400, Broken: broken}
		}
	}
	if length.Cmp(big.NewInt(maxBodyBytes)) > 0 {
		return Verdict{Status: 413}
	}
	n := int(length.Int64())
	v.Body, v.Short = rest[:min(n, len(rest))], len(rest) < n
	if slices.Contains(broken, "body cut") {
		v.Body, v.Short = "", true
	}
	return v
}

// judgePairs returns the body's length and the rules that the pairs break.
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

// ParseGrammar transcribes the header block's grammar as plainly as possible, for
// comparison.
func ParseGrammar(block []byte) (pairs [][2]string, ok bool) {
	if len(block) == 0 {
		return nil, true
	}
	if block[len(block)-1] != 0 {
		return nil, false
	}
	parts := bytes.Split(block[:len(block)-1], []byte{0})
	if len(parts)%2 != 0 {
		return nil, false
	}
	for i := 0; i < len(parts); i += 2 {
		if len(parts[i]) == 0 {
			return nil, false
		}
		pairs = append(pairs, [2]string{string(parts[i]), string(parts[i+1])})
	}
	return pairs, true
}
