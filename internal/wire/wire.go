// Package wire has the grammar that both sides of SCGI share: numbers, names and values as
// HTTP (RFC 9110) and CGI (RFC 3875) write them.
package wire

import (
	"math"
	"strings"
)

// ParseDecimal parses a decimal number that consists of digits only. It returns
// math.MaxInt64 and false for digits that overflow an int64, and -1 and false for anything
// else.
func ParseDecimal(s string) (n int64, ok bool) {
	if s == "" {
		return -1, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return -1, false
		}
	}
	for i := 0; i < len(s); i++ {
		digit := int64(s[i] - '0')
		if n > (math.MaxInt64-digit)/10 {
			return math.MaxInt64, false
		}
		n = n*10 + digit
	}
	return n, true
}

// IsToken reports whether s may be the name of a header field (RFC 9110 §5.6.2).
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// IsFieldValue reports whether s may be the value of a header field (RFC 9110 §5.5).
func IsFieldValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// IsHopByHop reports whether a header field, given by its canonical name, belongs to a
// single connection (RFC 9110 §7.6.1). It reports false for Connection and Upgrade: SCGI
// passes both on when a request asks for an upgrade and when a reply grants it.
func IsHopByHop(name string) bool {
	switch name {
	case "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding":
		return true
	}
	return false
}

// Variable returns the name of the variable that carries the header field name (RFC 3875
// §4.1.18).
func Variable(name string) string {
	return "HTTP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// FieldName returns the canonical name of the header field that the variable
// "HTTP_" + variable carries, with a "-" for each "_". It returns false if that is not a
// token.
func FieldName(variable string) (name string, ok bool) {
	if f, ok := commonFields[variable]; ok {
		return f, true
	}
	if !IsToken(variable) {
		return "", false
	}
	b := []byte(variable)
	upper := true
	for i, c := range b {
		switch {
		case c == '_':
			b[i] = '-'
		case upper && 'a' <= c && c <= 'z':
			b[i] = c - 'a' + 'A'
		case !upper && 'A' <= c && c <= 'Z':
			b[i] = c - 'A' + 'a'
		}
		upper = b[i] == '-'
	}
	return string(b), true
}

// commonFields saves an allocation for each of these names in a request.
var commonFields = func() map[string]string {
	fields := make(map[string]string)
	for _, f := range strings.Fields(`Accept Accept-Encoding Accept-Language Authorization
		Cache-Control Connection Content-Encoding Content-Length Content-Type Cookie Dnt Expect
		Host If-Match
		If-Modified-Since If-None-Match If-Range Origin Pragma Priority Proxy Range Referer
		Sec-Ch-Ua Sec-Ch-Ua-Mobile Sec-Ch-Ua-Platform Sec-Fetch-Dest Sec-Fetch-Mode
		Sec-Fetch-Site Sec-Fetch-User Sec-Websocket-Extensions Sec-Websocket-Key
		Sec-Websocket-Protocol Sec-Websocket-Version Te Trailer Transfer-Encoding Upgrade
		Upgrade-Insecure-Requests
		User-Agent X-Csrf-Token X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto
		X-Real-Ip X-Request-Id X-Requested-With`) {
		fields[strings.ToUpper(strings.ReplaceAll(f, "-", "_"))] = f
	}
	return fields
}()
