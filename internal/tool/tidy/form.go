package tidy

import (
	"go/ast"
	"slices"
)

// multipart lists the methods of http.Request that read a multipart form. They would write
// unlimited data to temporary files.
var multipart = []string{"FormValue", "PostFormValue", "FormFile", "ParseMultipartForm", "MultipartReader"}

// NoMultipart reports code that reads multipart forms (I10).
func NoMultipart(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		if f.Test || f.Generated {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(multipart, s.Sel.Name) {
				found = append(found, Finding{t.Line(s.Pos()), s.Sel.Name + " reads a multipart form into files",
					"read the query with r.URL.Query(), and a form with r.ParseForm behind http.MaxBytesReader"})
			}
			return true
		})
	}
	return found
}
