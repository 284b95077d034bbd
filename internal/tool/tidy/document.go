package tidy

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// PackageComments reports packages whose doc.go has no package comment.
func PackageComments(t *Tree) []Finding {
	documented := map[string]bool{}
	for _, f := range t.Go {
		if strings.HasSuffix(f.Path, "doc.go") && f.AST.Doc != nil {
			documented[f.Package()] = true
		}
	}
	var found []Finding
	for _, pkg := range t.Packages() {
		if !documented[pkg] && !generatedOnly(t, pkg) {
			found = append(found, Finding{pkg, "no doc.go with a package comment",
				"write one: what the package is in one sentence, what it does not do, a small diagram, the invariants it keeps, how failure looks"})
		}
	}
	return found
}

func generatedOnly(t *Tree, pkg string) bool {
	return !slices.ContainsFunc(t.Go, func(f *GoFile) bool { return f.Package() == pkg && !f.Test && !f.Generated })
}

// ordinary lists methods of standard interfaces, whose comments could only repeat the standard
// library.
var ordinary = []string{"Error", "Unwrap", "Is", "As", "String", "Len", "Less", "Swap", "Push", "Pop", "Read", "Write", "Close", "ServeHTTP", "LogValue"}

// ExportedNames reports exported names without a comment. In a group, a comment on the group
// suffices.
func ExportedNames(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		if f.Test || f.Generated {
			continue
		}
		for _, d := range f.AST.Decls {
			for _, name := range undocumented(d) {
				found = append(found, Finding{t.Line(name.Pos()), "exported " + name.Name + " has no comment",
					"say what it is, with its units, default and errors; or do not export it"})
			}
		}
	}
	return found
}

func undocumented(d ast.Decl) []*ast.Ident {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !(d.Recv != nil && slices.Contains(ordinary, d.Name.Name)) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		if d.Doc == nil && d.Tok != token.IMPORT {
			return undocumentedSpecs(d.Specs)
		}
	}
	return nil
}

func undocumentedSpecs(specs []ast.Spec) []*ast.Ident {
	var found []*ast.Ident
	for _, spec := range specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Doc == nil && spec.Comment == nil && spec.Name.IsExported() {
				found = append(found, spec.Name)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if spec.Doc == nil && spec.Comment == nil && name.IsExported() {
					found = append(found, name)
				}
			}
		}
	}
	return found
}

// exportedReceiver reports whether d is a function, or a method of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	return ast.IsExported(receiver(d))
}

// receiver returns the name of the type of a method, or "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	expr := d.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

// Map is the document that has a line for every package.
const Map = "ARCHITECTURE.md"

// OnTheMap reports packages that ARCHITECTURE.md does not list, and packages listed there that do
// not exist.
func OnTheMap(t *Tree) []Finding {
	text := t.Text(Map)
	if text == nil {
		return []Finding{{Map, "is missing", "write it: it is where a newcomer begins"}}
	}
	var found []Finding
	var places []string
	for _, pkg := range t.Packages() {
		if pkg != "." && !slices.Contains(places, place(pkg)) {
			places = append(places, place(pkg))
		}
	}
	for _, pkg := range places {
		if !strings.Contains(string(text.Source), "`"+pkg+"`") {
			found = append(found, Finding{Map, "does not name package " + pkg,
				"add a line for `" + pkg + "` to its table of packages"})
		}
	}
	for _, match := range row.FindAllStringSubmatch(string(text.Source), -1) {
		if !t.Exists(match[1]) {
			found = append(found, Finding{Map, "names package " + match[1] + ", which does not exist", "take its line out"})
		}
	}
	return found
}

// row matches a line of the table of packages.
var row = regexp.MustCompile("(?m)^\\| `([a-z0-9/-]+)` \\|")

// place returns the entry of a package in ARCHITECTURE.md. A private package has the entry of the
// package that it is private to. A package of an example has the entry of the example.
func place(pkg string) string {
	if owner, _, private := strings.Cut(pkg, "/internal/"); private {
		return owner
	}
	if parts := strings.Split(pkg, "/"); parts[0] == "examples" && len(parts) > 2 {
		return parts[0] + "/" + parts[1]
	}
	return pkg
}
