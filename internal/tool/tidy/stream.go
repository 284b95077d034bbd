package tidy

import (
	"go/ast"
	"slices"
	"strings"
)

// standardStreams lists ways to write to stdout and stderr without internal/terminal.
var standardStreams = map[string][]string{
	"os":  {"Stdout", "Stderr"},
	"fmt": {"Print", "Printf", "Println"},
	"log": {"Print", "Printf", "Println", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"},
}

// ownStreams lists packages that may write to stdout and stderr: programs, which pass the streams
// on, and tools of this repository.
var ownStreams = []string{"cmd", "examples", "tools", "test/peers", "internal/tool/openapi"}

// wholeLines lists files of the command line that write text with line breaks. The reason says why
// this is safe: the output contains no text of others, or contains such text only as JSON or
// quoted.
var wholeLines = map[string]string{
	"internal/cli/cli.go":            "the parser's help, and what libraries log",
	"internal/cli/serve.go":          "the log: a line each, values quoted",
	"internal/cli/bench.go":          "figures of this machine, as JSON, and the log",
	"internal/cli/benchlarge.go":     "the progress of a benchmark",
	"internal/cli/completion.go":     "a script that is a constant",
	"internal/cli/definitionview.go": "a diagram: names are letters, digits and hyphens",
	"internal/cli/export.go":         "JSON, a line for each saga",
	"internal/cli/natspermission.go": "a server's configuration: names are letters, digits and hyphens",
	"internal/cli/simulate.go":       "the history of a simulation, which made all of it",
}

// Streams reports code that writes to stdout or stderr without internal/terminal, which escapes
// control characters in text of others. In the command line, it also reports formats that are not
// constants, and whole lines in files that wholeLines does not list.
func Streams(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		pkg := f.Package()
		if f.Test || f.Generated || slices.ContainsFunc(ownStreams, func(own string) bool { return pkg == own || strings.HasPrefix(pkg, own+"/") }) {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if what := pastTerminal(n); what != "" {
				found = append(found, Finding{t.Line(n.Pos()), "writes to a standard stream with " + what,
					"take a *terminal.Stream, or an io.Writer of the caller's"})
			}
			if call, ok := n.(*ast.CallExpr); ok && pkg == "internal/cli" {
				if what := looseFormat(call); what != "" {
					found = append(found, Finding{t.Line(n.Pos()), what, "write the format as a constant, and what others wrote in the place of a %s"})
				}
				if method(call) == "Lines" && len(call.Args) == 0 && wholeLines[f.Path] == "" {
					found = append(found, Finding{t.Line(n.Pos()), "writes whole lines to the terminal", "use Printf or Table, which escape line feeds; or say in internal/tool/tidy/stream.go whose lines they are"})
				}
			}
			return true
		})
	}
	return found
}

func pastTerminal(n ast.Node) string {
	switch n := n.(type) {
	case *ast.SelectorExpr:
		if pkg, ok := n.X.(*ast.Ident); ok && slices.Contains(standardStreams[pkg.Name], n.Sel.Name) {
			return pkg.Name + "." + n.Sel.Name
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "print" || f.Name == "println") {
			return f.Name
		}
	}
	return ""
}

// looseFormat returns what is wrong with a call of a stream's Printf, or "" if nothing is.
func looseFormat(call *ast.CallExpr) string {
	if method(call) != "Printf" || len(call.Args) == 0 {
		return ""
	}
	if _, constant := call.Args[0].(*ast.BasicLit); constant {
		return ""
	}
	return "a format is made up as it goes"
}

// method returns the name of the called method, or "" if no method is called.
func method(call *ast.CallExpr) string {
	if s, ok := call.Fun.(*ast.SelectorExpr); ok {
		return s.Sel.Name
	}
	return ""
}
