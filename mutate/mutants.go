package main

// mutants.go makes the mutants. Each is one small change that a tired programmer
// could have made. The syntax tree gives the positions, but the change is made in
// the original text, so that the printed change is the one that was tried.

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// A mutant is a file with text[start:end] replaced by with.
type mutant struct {
	file       string
	line       int
	start, end int
	with       string
	text       string // the whole file, mutated
	was        string
}

// swaps maps each operator to its replacements.
var swaps = map[token.Token][]string{
	token.LSS: {"<=", ">="}, token.LEQ: {"<", ">"}, token.GTR: {">=", "<="}, token.GEQ: {">", "<"},
	token.EQL: {"!="}, token.NEQ: {"=="}, token.LAND: {"||"}, token.LOR: {"&&"},
	token.ADD: {"-"}, token.SUB: {"+"}, token.MUL: {"/"}, token.QUO: {"*"},
}

// mutants returns all mutants of a file.
func mutants(name, src string) ([]mutant, error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, src, 0)
	if err != nil {
		return nil, err
	}
	var all []mutant
	// A $ in with stands for the replaced text.
	add := func(from, to token.Pos, with string) {
		i, j := files.Position(from).Offset, files.Position(to).Offset
		with = strings.ReplaceAll(with, "$", src[i:j])
		all = append(all, mutant{name, files.Position(from).Line, i, j, with, src[:i] + with + src[j:], src[i:j]})
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if g, ok := n.(*ast.GenDecl); ok && g.Tok != token.CONST {
			return g.Tok == token.VAR
		}
		mutate(n, add)
		return true
	})
	return all, nil
}

func mutate(n ast.Node, add func(from, to token.Pos, with string)) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		for _, op := range swaps[n.Op] {
			add(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), op)
		}
	case *ast.BasicLit:
		if i, err := strconv.ParseInt(n.Value, 0, 64); n.Kind == token.INT && err == nil {
			add(n.Pos(), n.End(), strconv.FormatInt(i+1, 10))
		}
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			add(n.Pos(), n.X.Pos(), "")
		}
	case *ast.IfStmt:
		add(n.Cond.Pos(), n.Cond.End(), "true || ($)")
		add(n.Cond.Pos(), n.Cond.End(), "false && ($)")
	case *ast.BlockStmt:
		removeEach(n.List, add)
	case *ast.CaseClause:
		removeEach(n.Body, add)
	case *ast.BranchStmt:
		add(n.Pos(), n.End(), "")
	}
}

// removeEach removes, one at a time, the statements that the file may compile
// without.
func removeEach(list []ast.Stmt, add func(from, to token.Pos, with string)) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.ReturnStmt, *ast.DeferStmt:
			add(s.Pos(), s.End(), "")
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				add(s.Pos(), s.End(), "")
			}
		}
	}
}
