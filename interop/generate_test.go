package interop_test

// generate_test.go generates random requests that a client might send. A seed always
// generates the same request.

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
)

// pick returns one of its arguments.
func pick[T any](r *rand.Rand, these ...T) T { return these[r.IntN(len(these))] }

// oneIn is true once in n times.
func oneIn(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

// generated returns the request for this seed. It goes to dump, which reports the request,
// or to act, which answers as the request says.
func generated(seed uint64) call {
	r := rand.New(rand.NewPCG(seed, 5))
	c := call{method: pick(r, "GET", "GET", "GET", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PROPFIND")}
	if oneIn(r, 2) {
		c.target = "/dump" + anyPath(r) + anyQuery(r)
	} else {
		c.target = "/act/" + anyScript(r)
	}
	for range r.IntN(6) {
		c.fields = append(c.fields, anyField(r))
	}
	if c.method != "GET" && c.method != "HEAD" && c.method != "OPTIONS" {
		c.body = pattern(pick(r, 0, 1, 2, 100, 4095, 8192, 8193, 16384, 70_000))
		c.chunked = c.body != "" && oneIn(r, 4)
	}
	return c
}

// anyPath returns what follows /dump. The path stays under /dump.
func anyPath(r *rand.Rand) string {
	var b strings.Builder
	depth := 0
	for range r.IntN(5) {
		segment := ""
		for range r.IntN(4) {
			segment += pick(r, "a", "B", "7", "-", ".x", "~", "_", "+", ";p=1", ":", "@", ",", "!", "$", "&", "'", "(", ")", "*", "=",
				"%20", "%2F", "%2f", "%25", "%3F", "%23", "%C3%A9", "\xc3\xa9", "%61", "%7e")
		}
		if depth > 1 && oneIn(r, 8) {
			segment = pick(r, ".", "..")
			depth--
		} else {
			depth++
		}
		b.WriteString("/" + segment)
	}
	return b.String()
}

func anyQuery(r *rand.Rand) string {
	if oneIn(r, 3) {
		return ""
	}
	var b strings.Builder
	b.WriteByte('?')
	for range r.IntN(6) {
		b.WriteString(pick(r, "a", "key", "1", "=", "&", ";", "/", "?", ":", "@", "+", "%20", "%26", "%3D", "%2B", "%C3%A9", "%", "%z", "[", "]", "{", "|", "\"", "<", "\\", "^", "`", "'", "\xc3\xa9"))
	}
	return b.String()
}

// anyField returns a header field. It leaves out fields that end at the web server, such as
// Connection.
func anyField(r *rand.Rand) string {
	name := pick(r, "X-A", "X-B", "x-lower", "X-UPPER", "X.Dot", "X!Bang", "Accept", "Accept-Language", "User-Agent", "Cookie", "Cookie", "Cookie",
		"Referer", "If-None-Match", "Range", "Authorization", "X-Forwarded-For", "Forwarded", "Origin", "Content-Type", "Content-Language",
		"Cache-Control", "Date", "From", "Pragma", "Via", "Warning", "Sec-Fetch-Mode", "Priority", "Dnt", "Save-Data", "X"+strconv.Itoa(r.IntN(50)))
	var value strings.Builder
	for range r.IntN(8) {
		value.WriteString(pick(r, "a", "Z", "0", " ", "  ", "\t", ",", ";", "=", "\"", "'", ":", "/", "(", "%41", "%00", "\\", "~", "<", "\xe9", "\xc3\xa9", strings.Repeat("long", 100)))
	}
	return name + ": " + strings.Trim(value.String(), " \t")
}

// anyScript returns a script for act: a letter and a number for each step.
func anyScript(r *rand.Rand) string {
	var steps []string
	for range r.IntN(3) {
		steps = append(steps, "h"+strconv.Itoa(r.IntN(len(replyFields))))
	}
	if oneIn(r, 20) {
		steps = append(steps, "h0", "h0")
	}
	if oneIn(r, 2) {
		steps = append(steps, "s"+strconv.Itoa(pick(r, 200, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 400, 401, 403, 404, 405, 410, 422, 429, 451, 500, 501, 503, 599)))
	}
	for range r.IntN(4) {
		if oneIn(r, 4) {
			steps = append(steps, "f0")
		} else {
			steps = append(steps, "w"+strconv.Itoa(pick(r, 0, 1, 10, 511, 512, 513, 2048, 4096, 16_000, 16_384, 40_000)))
		}
	}
	return strings.Join(steps, "/")
}

// replyFields are the fields that act may set.
var replyFields = []struct{ name, value string }{
	{"Link", "</a.css>; rel=preload"}, {"X-One", "1"}, {"X-Empty", ""}, {"X-Spaces", "a  b"}, {"X-Long", strings.Repeat("v", 2000)}, {"x-lower", "l"}, {"X-Latin", "caf\xe9"},
	{"Content-Type", "text/html"}, {"Content-Type", "application/json"}, {"Content-Type", "image/png"}, {"Content-Encoding", "identity"},
	{"Content-Language", "fr"}, {"Cache-Control", "no-store"}, {"ETag", `"v1"`}, {"Last-Modified", "Mon, 23 Jun 2008 00:00:00 GMT"},
	{"Set-Cookie", "a=b; Path=/"}, {"Location", "/elsewhere?a=b"}, {"Location", "https://example.com/x"}, {"Vary", "Accept"},
	{"WWW-Authenticate", `Basic realm="app"`}, {"Retry-After", "3"}, {"Allow", "GET"},
	{"Refresh", "5"}, {"X-Content-Type-Options", "nosniff"}, {"Expires", "0"}, {"Warning", `199 - "w"`},
}

// act answers as the script in the request's path says.
func act(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-From", "app")
	_, script, _ := strings.Cut(r.URL.Path, "/act/")
	for _, step := range strings.Split(script, "/") {
		if step == "" {
			continue
		}
		n, err := strconv.Atoi(step[1:])
		if err != nil {
			panic(err)
		}
		switch step[0] {
		case 'h':
			if f := replyFields[n]; f.name == "Set-Cookie" || f.name == "Link" {
				w.Header().Add(f.name, f.value)
			} else {
				w.Header().Set(f.name, f.value)
			}
		case 's':
			w.WriteHeader(n)
		case 'w':
			fmt.Fprint(w, pattern(n))
		case 'f':
			w.(http.Flusher).Flush()
		}
	}
}

// actOr serves act beside the app.
func actOr(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/act/") {
			act(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}
