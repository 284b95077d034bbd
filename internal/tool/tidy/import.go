package tidy

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// Closure limits which packages a package may bring into its users' programs.
type Closure struct {
	Package string
	// Allowed lists import path prefixes; nil allows everything that is not Denied.
	Allowed []string
	// Denied lists import path prefixes.
	Denied []string
}

// Check reports the packages in imports that are not allowed, or that are denied.
func (c Closure) Check(imports []string) []Finding {
	const fix = "move what needs it into a package of its own that only those who want it import (go list -deps shows the way in)"
	var found []Finding
	for _, imported := range imports {
		if c.Allowed != nil && !under(imported, c.Allowed) {
			found = append(found, Finding{c.Package, "brings " + imported + " into its users' programs", fix})
		} else if under(imported, c.Denied) {
			found = append(found, Finding{c.Package, "brings " + imported + " into its users' programs", fix})
		}
	}
	return found
}

func under(imported string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		return imported == prefix || strings.HasPrefix(imported, prefix+"/")
	})
}

// ImportsOf returns all packages outside the standard library on which pkg depends. root is the
// path of the repository.
func ImportsOf(ctx context.Context, root, pkg string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./"+pkg)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -deps ./%s: %w", pkg, err)
	}
	self := Module + "/" + pkg
	var imports []string
	for imported := range strings.FieldsSeq(string(out)) {
		if imported != self {
			imports = append(imports, imported)
		}
	}
	return imports, nil
}
