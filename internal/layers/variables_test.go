package layers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// A variable may stand in a package if it is a constant but for the language: it has a value from the beginning,
// and no code of the package assigns to it, to a part of it, or takes its address. Pools are for changing.
func TestPackageVariablesDoNotChange(t *testing.T) {
	files := make(map[string][]*source)
	for _, s := range sources(t) {
		if !s.test() {
			dir := filepath.ToSlash(filepath.Dir(s.path))
			files[dir] = append(files[dir], s)
		}
	}
	allowed := variables()
	for dir, list := range files {
		for name, pos := range changing(list) {
			if full := dir + "." + name; allowed[full] == "" {
				t.Errorf("%s: package variable %s changes: make it a field of something", pos, full)
			}
		}
	}
}

// changing returns the variables of one package that have no value from the beginning or get another one.
func changing(files []*source) map[string]string {
	found := make(map[string]string)
	vars := make(map[string]bool)
	for _, s := range files {
		for _, v := range packageVariables(s.file) {
			for i, name := range v.Names {
				vars[name.Name] = name.Name != "_"
				if i >= len(v.Values) && name.Name != "_" && !isSelector(v.Type, "sync", "Pool") {
					found[name.Name] = s.set.Position(v.Pos()).String()
				}
			}
		}
	}
	for _, s := range files {
		note := func(x ast.Expr) {
			if id := base(x); id != nil && vars[id.Name] && !locals(s.file, id.Pos())[id.Name] {
				found[id.Name] = s.set.Position(id.Pos()).String()
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, x := range n.Lhs {
						note(x)
					}
				}
			case *ast.IncDecStmt:
				note(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					note(n.X)
				}
			}
			return true
		})
	}
	return found
}

func packageVariables(f *ast.File) []*ast.ValueSpec {
	var list []*ast.ValueSpec
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, spec := range g.Specs {
				list = append(list, spec.(*ast.ValueSpec))
			}
		}
	}
	return list
}

// base returns the variable that an expression is a part of.
func base(x ast.Expr) *ast.Ident {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			return e
		case *ast.SelectorExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		case *ast.StarExpr:
			x = e.X
		default:
			return nil
		}
	}
}

// locals returns the names that the function around pos declares: those hide a package's variables.
func locals(f *ast.File, pos token.Pos) map[string]bool {
	names := make(map[string]bool)
	add := func(ids ...*ast.Ident) {
		for _, id := range ids {
			names[id.Name] = true
		}
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || pos < fn.Pos() || pos >= fn.End() {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				add(n.Names...)
			case *ast.ValueSpec:
				add(n.Names...)
			case *ast.AssignStmt:
				for _, x := range n.Lhs {
					if id, ok := x.(*ast.Ident); ok && n.Tok == token.DEFINE {
						add(id)
					}
				}
			case *ast.RangeStmt:
				for _, x := range []ast.Expr{n.Key, n.Value} {
					if id, ok := x.(*ast.Ident); ok && n.Tok == token.DEFINE {
						add(id)
					}
				}
			}
			return true
		})
	}
	return names
}

func isSelector(x ast.Expr, pkg, name string) bool {
	s, ok := x.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	id, ok := s.X.(*ast.Ident)
	return ok && id.Name == pkg
}

// TestChangesAreFound proves that the check above sees what it is for, and nothing else.
func TestChangesAreFound(t *testing.T) {
	const text = `package p
import "sync"
var unset int
var pool sync.Pool
var table = map[string]int{"a": 1}
var changed = map[string]int{}
var addressed = 1
var counted = 0
var hidden = 1
func f(hidden int) { changed["x"] = 1; g(&addressed); counted++; hidden = 2; pool.Put(table) }
`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := changing([]*source{{path: "p.go", file: file, set: set}})
	for name, want := range map[string]bool{
		"unset": true, "changed": true, "addressed": true, "counted": true, "pool": false, "table": false, "hidden": false,
	} {
		if (got[name] != "") != want {
			t.Errorf("%s: changes %q, want %v", name, got[name], want)
		}
	}
}
