// Mutate makes small changes to the library's parsers, one at a time, and runs the
// tests on each. It prints the mutants that survive, which no test notices.
//
//	go run . [-every n] [-from i] [file...]
//
// Run it in this folder. It is not part of CI, because a full run takes more than an
// hour.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// tests selects the fast tests of the mutated files.
const tests = "Netstring|Env|ParseHeader|ParseDecimal|Body|Fuzz|ParsersAgree$|Differences|URL|HTTPWould|Protocol|RemoteAddr|HeaderFields|" +
	"FieldName|FromContext|WithContext|PathValues|CapturesAgree|Helpers|Forms|Alone|WhenRead|ReplySyntax|Reply(Fits|After|Allows|Of|HasNo|From|Keeps|Flushes)|IsToken|Dropped|FailedWrite|FileTo|WriteHeader|OneWrite|ReadFrom|" +
	"Aborted|FilesAre|Produce|Hijack|LateUse|HTTPoxy|Splitting|Sniff|Underscore|Smuggling|Forged|SpecExample|Allocations|EarlyReply|" +
	"WriteAfter|Concurrent|Deadlines|AccessLog"

// slow excludes the tests among them that wait for something.
const slow = "LongReply|BodyLimit|EarlyReply"

var (
	every   = flag.Int("every", 10, "try every n-th mutant; all of them take more than an hour")
	from    = flag.Int("from", 0, "the index of the first mutant to try")
	timeout = flag.Duration("timeout", 30*time.Second, "time limit for a mutant; one that takes longer counts as killed")
	workers = flag.Int("workers", 2, "the number of mutants to try at once")
)

func main() {
	flag.Parse()
	files := flag.Args()
	if len(files) == 0 {
		files = []string{"netstring.go", "request.go", "responsehead.go", "response.go", "http.go"}
	}
	if err := run(files); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(files []string) error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	var chosen []mutant
	for _, name := range files {
		src, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		ms, err := mutants(name, string(src))
		if err != nil {
			return err
		}
		chosen = append(chosen, ms...)
	}
	queue := make(chan mutant)
	go func() {
		defer close(queue)
		for i := *from; i < len(chosen); i += *every {
			queue <- chosen[i]
		}
	}()
	return tryAll(root, queue)
}

// tryAll prints the mutants that survive and the count of each outcome.
func tryAll(root string, queue <-chan mutant) error {
	tmp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	var all sync.WaitGroup
	var mu sync.Mutex
	count := make(map[string]int)
	for i := range *workers {
		all.Go(func() {
			for m := range queue {
				fate := try(root, filepath.Join(tmp, fmt.Sprint(i)), m)
				mu.Lock()
				count[fate]++
				if fate == survived {
					fmt.Printf("%s:%d: %q becomes %q\n", m.file, m.line, m.was, m.with)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	fmt.Println(count)
	return nil
}

// The outcomes of a mutant.
const (
	survived  = "survived"
	killed    = "killed"
	stillborn = "not compiled"
)

// try builds the tests with m in place of its file and runs them.
func try(root, base string, m mutant) string {
	overlay := map[string]map[string]string{"Replace": {filepath.Join(root, m.file): base + ".go"}}
	text, _ := json.Marshal(overlay)
	if os.WriteFile(base+".go", []byte(m.text), 0o600) != nil || os.WriteFile(base+".json", text, 0o600) != nil {
		return "not written"
	}
	build := exec.Command("go", "test", "-c", "-vet=off", "-gcflags=-N -l", "-ldflags=-s -w", "-overlay", base+".json", "-o", base+".test", ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		if strings.Contains(string(out), filepath.Base(base)+".go:") {
			return stillborn
		}
		return "not built: " + string(out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	test := exec.CommandContext(ctx, base+".test", "-test.run", tests, "-test.skip", slow, "-test.failfast", "-test.short")
	test.Dir = root
	if test.Run() != nil {
		return killed
	}
	return survived
}
