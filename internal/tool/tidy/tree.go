package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Module is the import path of the repository's root.
const Module = "github.com/amends-dev/amends"

// Finding is one violation of a rule.
type Finding struct {
	Where string // file, file:line or package
	What  string // what is wrong
	Fix   string // what to do about it
}

func (f Finding) String() string { return f.Where + ": " + f.What + "\n\tfix: " + f.Fix }

// Rule checks the whole tree and returns its findings.
type Rule func(*Tree) []Finding

// Tree is the repository as the rules see it.
type Tree struct {
	Go    []*GoFile // every Go file, by path
	Texts []*Text   // every other text file, by path

	others []string // paths of all other files, such as images
	set    *token.FileSet
}

// GoFile is one parsed Go file.
type GoFile struct {
	Path      string // path from the root, with slashes
	Source    []byte
	AST       *ast.File
	Test      bool // _test.go
	Generated bool // marked as generated, as the go command defines it
}

// Package returns the directory of the file, which is also its package path below Module. It is "."
// for the root.
func (f *GoFile) Package() string { return path.Dir(f.Path) }

// Lines returns the number of lines.
func (f *GoFile) Lines() int { return bytes.Count(f.Source, []byte("\n")) }

// Text is a text file that is not a Go file.
type Text struct {
	Path   string
	Source []byte
}

// Written reports whether the file is prose or configuration that the project's authors wrote.
// Checksum files, lock files, the license and test data are not.
func (t *Text) Written() bool {
	base := path.Base(t.Path)
	switch {
	case base == "go.sum", base == "package-lock.json", base == "LICENSE":
		return false
	case strings.Contains(t.Path, "/testdata/"):
		return false
	}
	return true
}

// skipped lists directories that are not part of the repository's own text.
var skipped = []string{".git", "node_modules", "bin", "dist", "data", "vendor"}

// Load reads a repository. For fixtures, root is an fstest.MapFS.
func Load(root fs.FS) (*Tree, error) {
	tree := &Tree{set: token.NewFileSet()}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains(skipped, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || name == ".git" { // .git is a file in a git worktree
			return nil
		}
		return tree.add(root, name)
	})
	if err != nil {
		return nil, fmt.Errorf("read the repository: %w", err)
	}
	return tree, nil
}

func (t *Tree) add(root fs.FS, name string) error {
	source, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	if path.Ext(name) != ".go" {
		if !bytes.Contains(source[:min(len(source), 8<<10)], []byte{0}) {
			t.Texts = append(t.Texts, &Text{Path: name, Source: source})
		} else {
			t.others = append(t.others, name)
		}
		return nil
	}
	file, err := parser.ParseFile(t.set, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.Go = append(t.Go, &GoFile{
		Path:      name,
		Source:    source,
		AST:       file,
		Test:      strings.HasSuffix(name, "_test.go"),
		Generated: ast.IsGenerated(file),
	})
	return nil
}

// Line returns "file:line" of a position.
func (t *Tree) Line(at token.Pos) string {
	p := t.set.Position(at)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// Packages returns the directories that hold Go files other than tests, sorted.
func (t *Tree) Packages() []string {
	var packages []string
	for _, f := range t.Go {
		if !f.Test && !slices.Contains(packages, f.Package()) {
			packages = append(packages, f.Package())
		}
	}
	slices.Sort(packages)
	return packages
}

// Text returns the text file with the path name, or nil if there is none.
func (t *Tree) Text(name string) *Text {
	for _, text := range t.Texts {
		if text.Path == name {
			return text
		}
	}
	return nil
}

// Exists reports whether name is a file or a directory of the tree.
func (t *Tree) Exists(name string) bool {
	under := func(file string) bool { return file == name || strings.HasPrefix(file, name+"/") }
	return slices.ContainsFunc(t.Go, func(f *GoFile) bool { return under(f.Path) }) ||
		slices.ContainsFunc(t.Texts, func(f *Text) bool { return under(f.Path) }) ||
		slices.ContainsFunc(t.others, under)
}
