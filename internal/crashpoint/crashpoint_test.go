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

// least is how many points there have to be.
const least = 60

// TestAll holds the list against the source: every call is listed, every point
// is called at exactly one place, and names begin with their package.
func TestAll(t *testing.T) {
	calls := map[string][]string{} // name to where it is called
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules"):
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
					calls[name] = append(calls[name], set.Position(n.Pos()).String())
					if prefix, _, _ := strings.Cut(name, ": "); prefix != file.Name.Name {
						t.Errorf("%s: %q stands in package %s; begin the name with it", set.Position(n.Pos()), name, file.Name.Name)
					}
				}
			}
			if s, ok := n.(*ast.SelectorExpr); ok && isHere(s) {
				mentions++
			}
			return true
		})
		if statements != mentions {
			t.Errorf("%s uses crashpoint.Here otherwise than as a statement with a literal", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, places := range calls {
		if !slices.Contains(All, name) {
			t.Errorf("%s: %q is not in crashpoint.All", places[0], name)
		}
		if len(places) > 1 {
			t.Errorf("%q is used more than once: %v; give each place a name of its own", name, places)
		}
	}
	seen := map[string]bool{}
	for _, name := range All {
		if len(calls[name]) == 0 {
			t.Errorf("crashpoint.All has %q, which nobody calls", name)
		}
		if seen[name] {
			t.Errorf("crashpoint.All has %q twice", name)
		}
		seen[name] = true
		if strings.ContainsAny(name, "#\n") {
			t.Errorf("%q has a character that its notation needs", name)
		}
	}
	if len(All) < least {
		t.Errorf("%d points, and there were to be %d", len(All), least)
	}
}

// here returns the name in crashpoint.Here("name").
func here(e ast.Expr) (name string, ok bool) {
	call, ok := e.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return "", false
	}
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !isHere(s) {
		return "", false
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	name, err := strconv.Unquote(literal.Value)
	return name, err == nil
}

func isHere(s *ast.SelectorExpr) bool {
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "crashpoint" && s.Sel.Name == "Here"
}

// TestNothingRemains: the compiler puts nothing in the place of a call.
func TestNothingRemains(t *testing.T) {
	if Enabled {
		t.Skip("this build can die")
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-m=2", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Cost 2 is that of an empty body.
	if !regexp.MustCompile(`can inline Here with cost [0-2] as: func\(string\) \{ *\}`).Match(out) {
		t.Errorf("Here is not inlined to nothing; the compiler says:\n%s", out)
	}
	if n := testing.AllocsPerRun(100, func() { Here("boltstore: before commit") }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func BenchmarkHere(b *testing.B) {
	for b.Loop() {
		Here("boltstore: before commit")
	}
}
