package scgi

// netstring.go parses netstrings, [len]":"[string]",". Its functions are pure. They
// are strict in every digit, and compare a length with the limit before anyone
// allocates for it. The file knows nothing of SCGI.

import "errors"

var (
	errNetstringLength = errors.New("netstring: the length is not a plain decimal number before a colon")
	errNetstringLimit  = errors.New("netstring: longer than the limit")
	errNetstringComma  = errors.New("netstring: no comma after the string")
)

// cutNetstring finds the netstring at the start of b: its string is
// b[start:end], its comma b[end]. Call it again as bytes arrive: end is 0 while the
// length is incomplete, and len(b) <= end while the string is. It refuses a string
// of more than max bytes as soon as it has read the length.
//
// The length has digits only, and begins with 0 exactly when the string is empty
// (SCGI §4).
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
