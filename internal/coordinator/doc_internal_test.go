package coordinator

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The functions listed in doc.go as the path of a change exist, each is called by the one under
// which it is listed, and there are few of them.
func TestTheWayOfAChangeIsTrue(t *testing.T) {
	bodies := map[string]string{}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		source, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, f.Name(), source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil {
				continue
			}
			of := fn.Recv.List[0].Type
			if star, ok := of.(*ast.StarExpr); ok {
				of = star.X
			}
			bodies[of.(*ast.Ident).Name+"."+fn.Name.Name] = string(source[set.Position(fn.Body.Pos()).Offset:set.Position(fn.Body.End()).Offset])
		}
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	way := regexp.MustCompile(`(?m)^//\t( *)(\w+\.(\w+)) +\S`).FindAllStringSubmatch(string(doc), -1)
	if len(way) < 10 || len(way) > 20 {
		t.Fatalf("the way has %d functions", len(way))
	}
	above := map[int]string{} // the last function at each indent
	for _, step := range way {
		indent, name, call := len(step[1]), step[2], step[3]
		if bodies[name] == "" {
			t.Errorf("there is no %s", name)
		}
		if caller := above[indent-2]; indent > 0 && !strings.Contains(bodies[caller], "."+call+"(") {
			t.Errorf("%s is not called by %s", name, caller)
		}
		above[indent] = name
	}
}
