package interop_test

// generated_test.go compares random requests with net/http. A rule predicts each
// difference and gives its reason; a rule that predicts nothing fails too.

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/scgi"
	"example.com/scgi/internal/webserver"
)

// The defaults generate requests that use every rule.
const (
	defaultCalls = 1000
	defaultSeed  = 1
)

var (
	generatedCalls = flag.Int("generated", defaultCalls, "number of requests to generate")
	generatedSeed  = flag.Uint64("generated.seed", defaultSeed, "seed of the first request; 0 picks one")
)

// A rule predicts how an answer differs from net/http's.
type rule struct {
	servers servers
	why     string
	apply   func(e *exchange)
}

// An exchange is a generated request and its two answers. The rules change want, net/http's
// answer, to the predicted one.
type exchange struct {
	call      call
	front     front
	got, want map[string]string
}

var rules = []rule{
	// Differences of this library.
	{each, "the library's buffer is larger than net/http's, so more replies have a length, and lighttpd gathers them", func(e *exchange) {
		if length := e.got["Content-Length"]; e.want["Content-Length"] == "" && length != "" {
			e.want["Content-Length"] = length // the client has checked the length
		}
	}},

	// The request's path.
	{lighttpd.before("1.4.85"), "lighttpd takes all before the last question mark for the path, and what it says is served", func(e *exchange) {
		if strings.Count(e.call.target, "?") > 1 && strings.Contains(e.got["r.Path"], "?") {
			e.takeURL()
		}
	}},
	{apache, "an escaped slash is none when Apache resolves dots, and what it says is served", func(e *exchange) {
		path, _, _ := strings.Cut(strings.ToUpper(e.call.target), "?")
		if strings.Contains(path, "%2F") && strings.Contains(path, "/..") && !strings.Contains(e.got["r.Path"], "/..") {
			e.takeURL()
		}
	}},

	// The request's header.
	{slices.Concat(nginx, apache), "names of other than letters, digits and - are dropped", func(e *exchange) {
		for _, name := range []string{"X.dot", "X!bang"} {
			e.setField(name)
		}
	}},
	{lighttpd, "any other character of a name becomes _", func(e *exchange) {
		for was, is := range map[string]string{"X.dot": "X-Dot", "X!bang": "X-Bang"} {
			if values := withoutEmpty(e.call.values(was)); len(values) > 0 {
				e.setField(is, strings.Join(values, ", "))
			}
			e.setField(was)
		}
	}},
	{slices.Concat(nginx.from("1.23"), apache), "fields that are repeated are joined, as RFC 9110 §5.3 allows", func(e *exchange) { e.eachField(joined) }},
	{lighttpd, "likewise, but that empty ones are dropped", func(e *exchange) {
		e.eachField(func(values []string) []string { return joined(withoutEmpty(values)) })
	}},
	{slices.Concat(nginx.from("1.23"), lighttpd), "and Cookie as RFC 6265 §5.4 has it", func(e *exchange) {
		values := e.call.values("Cookie")
		if e.front.kind == webserver.Lighttpd {
			values = withoutEmpty(values)
		}
		if len(values) > 1 {
			e.setField("Cookie", strings.TrimSpace(strings.Join(values, "; ")))
		}
	}},
	{apache, "Apache drops an empty Content-Type", func(e *exchange) {
		if e.want["r.Header[Content-Type]"] == `[""]` {
			e.setField("Content-Type")
		}
	}},
	{slices.Concat(nginx.before("1.23"), lighttpd), "the first of these counts", func(e *exchange) {
		name := map[webserver.Kind]string{webserver.Nginx: "Content-Type", webserver.Lighttpd: "If-None-Match"}[e.front.kind]
		if values := e.call.values(name); e.front.kind == webserver.Nginx && len(values) > 1 && values[0] != "" {
			e.setField(name, values[0])
		} else if values = withoutEmpty(values); e.front.kind == webserver.Lighttpd && len(values) > 1 {
			e.setField(name, values[0])
		}
	}},
	{nginx, "nginx takes these once only", func(e *exchange) {
		for _, name := range []string{"If-None-Match", "Authorization"} {
			if len(e.call.values(name)) > 1 {
				e.refused(http.StatusBadRequest)
			}
		}
	}},
	{lighttpd, "lighttpd takes this once only", func(e *exchange) {
		if len(withoutEmpty(e.call.values("Content-Type"))) > 1 {
			e.refused(http.StatusBadRequest)
		}
	}},

	// The request's body.
	{spooling, "SCGI needs the length: a body in chunks is spooled first", func(e *exchange) {
		if e.call.chunked && e.isDump() {
			e.want["r.ContentLength"] = fmt.Sprint(len(e.call.body))
			e.setField("Content-Length", fmt.Sprint(len(e.call.body)))
		}
	}},
	{apache, "SCGI needs the length, and mod_proxy_scgi does not spool", func(e *exchange) {
		if e.call.chunked {
			e.refused(http.StatusLengthRequired)
		}
	}},
	{apache, "Apache sends no HTTP_CONTENT_LENGTH without a body", func(e *exchange) {
		if e.call.body == "" {
			e.setField("Content-Length")
		}
	}},

	// The response.
	{apache, "Apache drops the type of what has no body", func(e *exchange) {
		if e.want["status"] == "204" {
			delete(e.want, "Content-Type")
		}
	}},
	{apache, "fields of the reply are joined likewise", func(e *exchange) {
		if links := e.want["Link"]; links != "" {
			e.want["Link"] = strings.ReplaceAll(links, " | ", ", ")
		}
	}},
	{lighttpd, "lighttpd drops an empty field", func(e *exchange) { delete(e.want, "X-Empty") }},
	{lighttpd, "lighttpd drops the encoding of what has no body", func(e *exchange) {
		if e.want["status"] == "304" {
			delete(e.want, "Content-Encoding")
		}
	}},
	{lighttpd, "lighttpd answers range requests for the app", func(e *exchange) {
		if e.got["Accept-Ranges"] == "bytes" {
			e.want["Accept-Ranges"] = "bytes"
		}
	}},
	{apache, "Apache drops Content-Length, and finds it out of a small reply that comes fast", func(e *exchange) {
		delete(e.got, "Content-Length")
		delete(e.want, "Content-Length")
	}},
}

func (e *exchange) isDump() bool { return e.want["r.Method"] != "" }

// takeURL takes the URL from the answer: url_test.go tests it.
func (e *exchange) takeURL() {
	for _, key := range []string{"r.RequestURI", "r.Path", "r.EscapedPath", "r.RawQuery"} {
		if e.isDump() {
			e.want[key] = e.got[key]
		}
	}
}

// setField sets a header field as the handler must see it. Without a value the field is
// absent.
func (e *exchange) setField(name string, values ...string) {
	key := "r.Header[" + name + "]"
	switch {
	case !e.isDump():
	case len(values) == 0:
		delete(e.want, key)
	default:
		e.want[key] = fmt.Sprintf("%q", values)
	}
}

// eachField calls f to change the values of every field that was sent.
func (e *exchange) eachField(f func([]string) []string) {
	for _, field := range e.call.fields {
		name := fieldName(field)
		if values := e.call.values(name); e.want["r.Header["+name+"]"] != "" {
			e.setField(name, f(values)...)
		}
	}
}

// refused predicts an answer by the web server itself.
func (e *exchange) refused(status int) {
	e.want = map[string]string{"status": fmt.Sprint(status) + ", its own"}
}

// fieldName returns the canonical name of a field.
func fieldName(field string) string {
	name, _, _ := strings.Cut(field, ":")
	return http.CanonicalHeaderKey(name)
}

// values returns the values of a header field, given its canonical name.
func (c call) values(name string) (values []string) {
	for _, f := range c.fields {
		if _, value, _ := strings.Cut(f, ": "); fieldName(f) == name {
			values = append(values, value)
		}
	}
	return values
}

func joined(values []string) []string {
	if len(values) < 2 {
		return values
	}
	return []string{strings.TrimSpace(strings.Join(values, ", "))}
}

func withoutEmpty(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

func TestGeneratedSameAsNetHTTP(t *testing.T) {
	first := *generatedSeed
	if first == 0 {
		first = rand.Uint64()
	}
	t.Logf("seeds from %d", first)
	h := actOr(app())
	reference := direct(t, h)
	wants := make(map[uint64]map[string]string)
	for seed := first; seed < first+uint64(*generatedCalls); seed++ {
		wants[seed] = fields(generated(seed).do(t, reference))
	}
	used := make(map[string]bool)
	var fronts []front
	s := site{handler: scgi.HTTPHandler(h)}
	s.each(t, func(t *testing.T, fr front) {
		fronts = append(fronts, fr)
		for seed, want := range wants {
			e := exchange{call: generated(seed), front: fr, want: maps.Clone(want)}
			e.got = fields(e.call.do(t, fr.addr))
			e.got, e.want = toCompare(e.got, e.want)
			e.foretell(used)
			for _, field := range e.differing() {
				t.Errorf("seed %d: %s: got %.300s, want %.300s, of %.500q", seed, field, orDash(e.got, field), orDash(e.want, field), e.call.head())
			}
		}
	})
	if first != defaultSeed || *generatedCalls != defaultCalls || len(fronts) < 2*len(kinds) {
		return
	}
	for _, r := range rules {
		if slices.ContainsFunc(fronts, r.servers.include) && !used[r.why] {
			t.Errorf("the rule predicts nothing: %s", r.why)
		}
	}
}

// foretell applies the rules to e.want, and marks those that change it as used.
func (e *exchange) foretell(used map[string]bool) {
	for _, r := range rules {
		if r.servers.include(e.front) {
			before := maps.Clone(e.want)
			r.apply(e)
			used[r.why] = used[r.why] || !maps.Equal(before, e.want)
		}
	}
}

func (e *exchange) differing() (names []string) {
	all := maps.Clone(e.got)
	maps.Copy(all, e.want)
	for name := range all {
		if orDash(e.got, name) != orDash(e.want, name) {
			names = append(names, name)
		}
	}
	return names
}
