package scgi_test

// house_test.go checks rules of the code base: which packages may import which, what the
// root may contain, and that nothing depends on a clock that can be set.

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mayImport lists, for each package below the programs, the packages of this module that it
// may import. "" is the root; no package below it may import it.
var mayImport = map[string][]string{
	"app":              {"internal/program", "prefork", ""},
	"internal/program": {"prefork", ""},
	"prefork":          {"gateway", "", "internal/listen", "internal/status"},
	"gateway":          {"internal/socket", "internal/wire"},
	"":                 {"internal/listen", "internal/socket", "internal/stacks", "internal/status", "internal/wire"},
	"internal/listen":  {},
	"internal/socket":  {},
	"internal/stacks":  {},
	"internal/status":  {},
	"internal/wire":    {},
}

func TestPackagesImportOneWay(t *testing.T) {
	const module = "example.com/scgi"
	for _, goos := range []string{"linux", "windows", "darwin"} {
		cmd := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...")
		cmd.Env = append(os.Environ(), "GOOS="+goos)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for line := range strings.Lines(string(out)) {
			imports := strings.Fields(line)
			name := strings.TrimPrefix(strings.TrimPrefix(imports[0], module), "/")
			allowed, ok := mayImport[name]
			if !ok {
				continue
			}
			found++
			for _, path := range imports[1:] {
				if below, ours := strings.CutPrefix(path, module); ours && !slices.Contains(allowed, strings.TrimPrefix(below, "/")) {
					t.Errorf("%s: package %q must not import %s", goos, name, path)
				}
			}
		}
		if found != len(mayImport) {
			t.Errorf("%s: %d of %d packages found", goos, found, len(mayImport))
		}
	}
}

// The root has what an app imports: it has no file for a single system, and the parser and
// the pool use nothing of the rest.
func TestRootFiles(t *testing.T) {
	systems := regexp.MustCompile(`_(linux|windows|darwin|unix|bsd|other)(_test)?\.go$`)
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if systems.MatchString(file) {
			t.Errorf("%s belongs in an internal package", file)
		}
	}
	alone := exec.Command("go", "vet", "netstring.go", "pool.go")
	if out, err := alone.CombinedOutput(); err != nil {
		t.Errorf("netstring.go and pool.go use something of the rest: %v\n%s", err, out)
	}
}

// wallClock names the methods that remove a time.Time's monotonic reading, and the
// functions of package time that return one without.
var wallClock = map[string]bool{
	"Round": true, "Truncate": true, "Unix": true, "UnixMilli": true, "UnixMicro": true, "UnixNano": true,
	"time.Date": true, "time.Parse": true, "time.ParseInLocation": true, "time.UnixMilli": true, "time.UnixMicro": true,
}

// No test sets the clock. But a time.Time with a monotonic reading compares and subtracts by
// that reading, so this test checks that none loses it.
func TestNoWallClock(t *testing.T) {
	for _, folder := range []string{".", "app", "gateway", "prefork", "internal/listen", "internal/socket", "internal/status"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", folder, files, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				checkClock(t, file)
			}
		}
	}
}

func checkClock(t *testing.T, file string) {
	t.Helper()
	positions := token.NewFileSet()
	f, err := parser.ParseFile(positions, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if name, ok := call.Fun.(*ast.SelectorExpr); ok && !isLongAgo(name, call.Args) {
			of, _ := name.X.(*ast.Ident)
			if wallClock[name.Sel.Name] || of != nil && wallClock[of.Name+"."+name.Sel.Name] {
				t.Errorf("%v: %s has no monotonic reading", positions.Position(n.Pos()), name.Sel.Name)
			}
		}
		return true
	})
}

// isLongAgo reports whether the call is time.Unix(1, 0), a deadline in the past on any
// clock.
func isLongAgo(name *ast.SelectorExpr, args []ast.Expr) bool {
	if name.Sel.Name != "Unix" || len(args) != 2 {
		return false
	}
	seconds, ok := args[0].(*ast.BasicLit)
	return ok && seconds.Value == "1"
}
