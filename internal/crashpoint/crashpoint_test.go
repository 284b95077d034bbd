package crashpoint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// most is the maximum number of points in product code.
const most = 40

// TestInside compares the list with the source. Every point inside is a listed constant that is
// used in exactly one place, and its name begins with the package of that place.
func TestInside(t *testing.T) {
	names := constants(t)
	places := map[Point][]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "lab"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		statements, mentions := 0, 0
		ast.Inspect(file, func(n ast.Node) bool {
			if statement, ok := n.(*ast.ExprStmt); ok {
				if name, ok := here(statement.X); ok {
					statements++
					point, place := names[name], set.Position(n.Pos()).String()
					places[point] = append(places[point], place)
					if prefix, _, _ := strings.Cut(string(point), ": "); prefix != file.Name.Name {
						t.Errorf("%s: %q stands in package %s; begin the name with it", place, point, file.Name.Name)
					}
				}
			}
			if e, ok := n.(ast.Expr); ok && selected(e) == "Here" {
				mentions++
			}
			return true
		})
		if statements != mentions {
			t.Errorf("%s uses crashpoint.Here otherwise than as a statement with a constant of crashpoint", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for point, places := range places {
		if !slices.Contains(Inside, point) {
			t.Errorf("%s: %q is not in crashpoint.Inside", places[0], point)
		}
		if len(places) > 1 {
			t.Errorf("%q is used more than once: %v; give each place a constant of its own", point, places)
		}
	}
	for _, point := range Inside {
		if len(places[point]) == 0 {
			t.Errorf("crashpoint.Inside has %q, which nobody calls", point)
		}
	}
	if len(Inside) > most {
		t.Errorf("%d points in product code, and there may be %d; see whether a seam shows the window", len(Inside), most)
	}
}

func TestNames(t *testing.T) {
	seen := map[Point]bool{}
	for _, point := range All {
		if seen[point] {
			t.Errorf("crashpoint.All has %q twice", point)
		}
		seen[point] = true
		if strings.ContainsAny(string(point), "#\n") {
			t.Errorf("%q has a character that its notation needs", point)
		}
	}
}

// constants returns the names and values of this package's Point constants.
func constants(t *testing.T) map[string]Point {
	file, err := parser.ParseFile(token.NewFileSet(), "point.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]Point{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
				value, _ := strconv.Unquote(literal.Value)
				names[spec.Names[0].Name] = Point(value)
			}
		}
		return true
	})
	return names
}

// here returns X in crashpoint.Here(crashpoint.X).
func here(e ast.Expr) (name string, ok bool) {
	call, ok := e.(*ast.CallExpr)
	if !ok || selected(call.Fun) != "Here" || len(call.Args) != 1 {
		return "", false
	}
	name = selected(call.Args[0])
	return name, name != ""
}

// selected returns X in crashpoint.X.
func selected(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "crashpoint" {
			return s.Sel.Name
		}
	}
	return ""
}

// TestNothingRemains checks that without the tag, the compiler removes the calls.
func TestNothingRemains(t *testing.T) {
	if Enabled {
		t.Skip("this build can die")
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-m=2", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Cost 2 is the inlining cost of an empty body.
	if !regexp.MustCompile(`can inline Here with cost [0-2] as: func\(Point\) \{ *\}`).Match(out) {
		t.Errorf("Here is not inlined to nothing; the compiler says:\n%s", out)
	}
	if n := testing.AllocsPerRun(100, func() { Here(BeforeCommit) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func BenchmarkHere(b *testing.B) {
	for b.Loop() {
		Here(BeforeCommit)
	}
}
