package layers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A source is one file of hand-written Go.
type source struct {
	path string // relative to the repository
	file *ast.File
	set  *token.FileSet
}

func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s *source) line(pos token.Pos) int { return s.set.Position(pos).Line }

// sources parses all hand-written Go of the repository, other modules of it included.
func sources(t *testing.T) []*source {
	t.Helper()
	var list []*source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"bin", "testdata"}, name)) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(file) {
			list = append(list, &source{path: strings.TrimPrefix(path, root+"/"), file: file, set: set})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t) {
		lines := s.line(s.file.FileEnd - 1)
		if limit := lineLimit(s.path); lines > limit {
			t.Errorf("%s has %d lines, limit %d", s.path, lines, limit)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > maxFuncLines {
				t.Errorf("%s:%d: %s has %d lines, limit %d", s.path, s.line(f.Pos()), f.Name.Name, n, maxFuncLines)
			}
		}
	}
}

func lineLimit(path string) int {
	if filepath.Base(path) == "main.go" {
		return maxMainLines
	}
	return maxFileLines
}

func TestNothingHappensBeforeMain(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s:%d: init(): construct in a constructor", s.path, s.line(f.Pos()))
			}
		}
		for _, i := range s.file.Imports {
			if i.Name != nil && i.Name.Name == "_" && i.Path.Value != `"embed"` {
				t.Errorf("%s:%d: blank import of %s: call what you need", s.path, s.line(i.Pos()), i.Path.Value)
			}
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range sources(t) {
		if dir := filepath.Dir(s.path); !s.test() {
			documented[dir] = documented[dir] || s.file.Doc != nil
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment: what it owns, what it must not know, who imports it", dir)
		}
	}
}
