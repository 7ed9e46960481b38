package wire

import (
	"math"
	"net/http"
	"strings"
	"testing"
)

func TestParseDecimal(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "007": 7, "9223372036854775807": math.MaxInt64, "": -1, "+5": -1, "-1": -1, "1_0": -1, " 1": -1, "٣": -1} {
		if n, ok := ParseDecimal(in); n != want || ok != (want >= 0) {
			t.Errorf("ParseDecimal(%q) = %d, %t", in, n, ok)
		}
	}
	for _, in := range []string{"9223372036854775808", strings.Repeat("9", 30)} {
		if n, ok := ParseDecimal(in); n != math.MaxInt64 || ok {
			t.Errorf("ParseDecimal(%q) = %d, %t", in, n, ok)
		}
	}
}

func TestIsToken(t *testing.T) {
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for c := range 256 {
		if s := string([]byte{byte(c)}); IsToken(s) != strings.Contains(token, s) {
			t.Errorf("IsToken(%q) = %t", s, IsToken(s))
		}
	}
	if IsToken("") {
		t.Error("the empty string is a token")
	}
}

func TestIsFieldValue(t *testing.T) {
	for c := range 256 {
		s := "a" + string([]byte{byte(c)})
		if want := c >= ' ' && c != 0x7f || c == '\t'; IsFieldValue(s) != want {
			t.Errorf("IsFieldValue(%q) = %t", s, !want)
		}
	}
}

func TestIsHopByHop(t *testing.T) {
	for name, want := range map[string]bool{
		"Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
		"Connection": false, "Upgrade": false, "Content-Length": false, "": false,
	} {
		if IsHopByHop(name) != want {
			t.Errorf("IsHopByHop(%q) = %t", name, !want)
		}
	}
}

func TestFieldNameIsCanonical(t *testing.T) {
	for variable := range commonFields {
		name, _ := FieldName(variable)
		if want := http.CanonicalHeaderKey(strings.ReplaceAll(variable, "_", "-")); name != want {
			t.Errorf("FieldName(%q) = %q", variable, name)
		}
		if again := Variable(name); again != "HTTP_"+variable {
			t.Errorf("Variable(%q) = %q", name, again)
		}
	}
	for _, variable := range []string{"X_FOO_BAR", "x-foo_BAR", "A", "_A", "A_", "A__B", "X.DOT", "9A"} {
		name, ok := FieldName(variable)
		if want := http.CanonicalHeaderKey(strings.ReplaceAll(variable, "_", "-")); name != want || !ok {
			t.Errorf("FieldName(%q) = %q, %t", variable, name, ok)
		}
	}
	for _, variable := range []string{"", "A B", "A\x00", "É"} {
		if name, ok := FieldName(variable); ok {
			t.Errorf("FieldName(%q) = %q", variable, name)
		}
	}
}
