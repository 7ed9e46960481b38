package scgi

// netstring.go owns the netstring: [len]":"[string]",". Rule: pure functions
// over the bytes at hand; strict in every digit; a length is checked against
// the limit before anything is taken on its word. It knows nothing of SCGI.

import "errors"

var (
	errNetstringLength = errors.New("netstring: the length is not a plain decimal number before a colon")
	errNetstringLimit  = errors.New("netstring: longer than the limit")
	errNetstringComma  = errors.New("netstring: no comma after the string")
)

// cutNetstring finds the netstring at the start of b: its string is
// b[start:end], its comma b[end]. It can be asked again as bytes arrive:
// while the length is incomplete end is 0, and while len(b) <= end the string
// is. A string of more than max bytes is refused as soon as its length is
// read.
//
// The length has digits only, and begins with 0 exactly when it is 0
// (SCGI §2).
func cutNetstring(b []byte, max int) (start, end int, err error) {
	size := 0
	for i, c := range b {
		switch {
		case '0' <= c && c <= '9' && (i == 0 || b[0] != '0'):
			digit := int(c - '0')
			if digit > max || size > (max-digit)/10 {
				return 0, 0, errNetstringLimit
			}
			size = size*10 + digit
		case c == ':' && i > 0:
			start, end = i+1, i+1+size
			if len(b) > end && b[end] != ',' {
				return 0, 0, errNetstringComma
			}
			return start, end, nil
		default:
			return 0, 0, errNetstringLength
		}
	}
	return 0, 0, nil
}
