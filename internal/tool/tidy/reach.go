package tidy

import (
	"go/ast"
	"path"
	"strconv"
	"strings"
)

// Reach reports exported declarations of public packages that name a type of an internal package,
// because an importer cannot name that type. It permits an alias such as type Config =
// internal.Config, which importers can name.
func Reach(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		pkg := f.Package() + "/"
		if f.Test || f.Generated || strings.Contains(pkg, "internal/") || !public(pkg) {
			continue
		}
		hidden := map[string]bool{}
		for _, spec := range f.AST.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if !strings.Contains(imported+"/", "/internal/") {
				continue
			}
			name := path.Base(imported)
			if spec.Name != nil {
				name = spec.Name.Name
			}
			hidden[name] = true
		}
		if len(hidden) == 0 {
			continue
		}
		for _, part := range exportedTypes(f.AST) {
			ast.Inspect(part, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if pkg, ok := sel.X.(*ast.Ident); ok && hidden[pkg.Name] {
					found = append(found, Finding{t.Line(sel.Pos()), "an exported declaration names " + pkg.Name + "." + sel.Sel.Name + ", which importers cannot",
						"declare an alias of it here and name that, or keep it out of what is exported"})
				}
				return true
			})
		}
	}
	return found
}

// public reports whether other modules import a package. Other modules import no program, example
// or test.
func public(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return first != "cmd" && first != "examples" && first != "test" && first != "tools"
}

// exportedTypes returns the type expressions in a file's exported declarations.
func exportedTypes(file *ast.File) []ast.Node {
	var parts []ast.Node
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) {
				parts = append(parts, d.Type)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && !s.Assign.IsValid() {
						parts = append(parts, exportedFields(s.Type)...)
					}
				case *ast.ValueSpec:
					if s.Names[0].IsExported() && s.Type != nil {
						parts = append(parts, s.Type)
					}
				}
			}
		}
	}
	return parts
}

// exportedFields returns the types of a struct's exported fields. For any other type it returns the
// type itself.
func exportedFields(t ast.Expr) []ast.Node {
	s, ok := t.(*ast.StructType)
	if !ok {
		return []ast.Node{t}
	}
	var parts []ast.Node
	for _, field := range s.Fields.List {
		if len(field.Names) == 0 || field.Names[0].IsExported() {
			parts = append(parts, field.Type)
		}
	}
	return parts
}
