package tidy

import (
	"go/ast"
	"go/build/constraint"
	"path"
	"slices"
	"strconv"
	"strings"
)

// pure reports whether a file belongs to the core. The core has no clock, no randomness, no I/O and
// no goroutines (I6).
func pure(f *GoFile) bool {
	if f.Test || f.Generated {
		return false
	}
	base := path.Base(f.Path)
	switch f.Package() {
	case "compensation", "contract", "saga", "saga/machine", "saga/internal/mapping", "saga/internal/schema", "saga/internal/quote":
		return true
	case "outbox":
		return base == "record.go"
	case "internal/coordinator":
		return strings.HasPrefix(base, "engine")
	}
	return false
}

// impureCalls lists functions that read the clock or wait for it.
var impureCalls = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
}

// impureImports lists packages for randomness or I/O.
var impureImports = []string{"math/rand", "math/rand/v2", "crypto/rand", "os", "net", "net/http", "io/fs", "log", "log/slog", "os/signal"}

// Purity reports code in the core that reads the clock, imports a package for randomness or I/O, or
// starts a goroutine.
func Purity(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		if !pure(f) {
			continue
		}
		for _, spec := range f.AST.Imports {
			if imported, _ := strconv.Unquote(spec.Path.Value); slices.Contains(impureImports, imported) {
				found = append(found, Finding{t.Line(spec.Pos()), "the core imports " + imported,
					"move the I/O or the randomness into a shell and pass its result in as data"})
			}
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if what := impure(n); what != "" {
				found = append(found, Finding{t.Line(n.Pos()), "the core " + what,
					"an event carries its time, jitter is a hash, waiting and goroutines belong to the shells"})
			}
			return true
		})
	}
	return found
}

func impure(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "starts a goroutine"
	case *ast.SelectorExpr:
		if pkg, ok := n.X.(*ast.Ident); ok && slices.Contains(impureCalls[pkg.Name], n.Sel.Name) {
			return "calls " + pkg.Name + "." + n.Sel.Name
		}
	}
	return ""
}

// NoSleeps reports tests that wait by sleeping. It allows a sleep in a polling loop, and in a
// testing/synctest bubble, where time is virtual and sleeping is exact.
func NoSleeps(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		if !f.Test || importsPath(f, "testing/synctest") {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ForStmt:
				return false
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && n.Sel.Name == "Sleep" {
					found = append(found, Finding{t.Line(n.Pos()), "a test sleeps",
						"wait for a channel, use testing/synctest, or poll with a deadline that fails loudly"})
				}
			}
			return true
		})
	}
	return found
}

// NoDurations reports tests that assert how long something took, because everything can be slow on
// a busy machine. It allows testing/synctest bubbles, where time is virtual, and laboratories
// (build tag lab), which may measure.
func NoDurations(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		if !f.Test || importsPath(f, "testing/synctest") || laboratory(f) {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Since" {
				if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "time" {
					found = append(found, Finding{t.Line(n.Pos()), "a test asks how long something took",
						"count, or look at an order; use testing/synctest, or the build tag lab (docs/TESTING.md)"})
				}
			}
			return true
		})
	}
	return found
}

// laboratory reports whether a file needs the build tag lab.
func laboratory(f *GoFile) bool {
	first, _, _ := strings.Cut(string(f.Source), "\n")
	expr, err := constraint.Parse(first)
	return err == nil && !expr.Eval(func(tag string) bool { return tag != "lab" })
}

func importsPath(f *GoFile, want string) bool {
	return slices.ContainsFunc(f.AST.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == strconv.Quote(want) })
}
