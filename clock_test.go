package scgi

// clock_test.go owns the proof that a clock which is set, forwards or back,
// moves no wait. It can't be set in a test; but a time.Time compares and
// subtracts by its monotonic reading for as long as it has one.

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// wallClock is what takes a time.Time's monotonic reading away; of package time
// itself, what makes one without.
var wallClock = map[string]bool{
	"Round": true, "Truncate": true, "Unix": true, "UnixMilli": true, "UnixMicro": true, "UnixNano": true,
	"time.Date": true, "time.Parse": true, "time.ParseInLocation": true, "time.UnixMilli": true, "time.UnixMicro": true,
}

func TestNoWallClock(t *testing.T) {
	for _, folder := range []string{".", "app", "restart"} {
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

// isLongAgo tells time.Unix(1, 0), a deadline that is over on any clock.
func isLongAgo(name *ast.SelectorExpr, args []ast.Expr) bool {
	if name.Sel.Name != "Unix" || len(args) != 2 {
		return false
	}
	seconds, ok := args[0].(*ast.BasicLit)
	return ok && seconds.Value == "1"
}
