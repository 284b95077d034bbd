package observe_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func observability(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "OBSERVABILITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestAttributesAreDocumented checks that docs/OBSERVABILITY.md lists exactly the span attributes
// that this project defines.
func TestAttributesAreDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "observe", "tracing", "attribute.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if name, _ := strconv.Unquote(literal.Value); strings.HasPrefix(name, "amends.") {
				declared[name] = true
			}
		}
		return true
	})
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("`(amends\\.[a-z_.]+)`").FindAllStringSubmatch(observability(t), -1) {
		if strings.HasSuffix(m[1], ".yml") {
			continue // a file name
		}
		documented[m[1]] = true
		if !declared[m[1]] {
			t.Errorf("docs/OBSERVABILITY.md lists attribute %s, which does not exist", m[1])
		}
	}
	for name := range declared {
		if !documented[name] {
			t.Errorf("docs/OBSERVABILITY.md lacks the attribute %s", name)
		}
	}
	if len(declared) < 10 {
		t.Errorf("found only %d attributes in tracing/attribute.go", len(declared))
	}
}

// TestAlertsAreDocumented checks that docs/OBSERVABILITY.md lists each alert under its severity.
func TestAlertsAreDocumented(t *testing.T) {
	listed := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (critical|warning|info) \| (.*) \|$`).FindAllStringSubmatch(observability(t), -1) {
		for _, m := range regexp.MustCompile("`(Amends\\w+)`").FindAllStringSubmatch(row[2], -1) {
			listed[m[1]] = row[1]
		}
	}
	all := alerts(t)
	for _, a := range all {
		if listed[a.Alert] != a.Labels["severity"] {
			t.Errorf("%s is %s, and listed as %q", a.Alert, a.Labels["severity"], listed[a.Alert])
		}
	}
	if len(listed) != len(all) {
		t.Errorf("%d alerts are listed, %d exist", len(listed), len(all))
	}
}
