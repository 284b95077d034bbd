package tidy

import (
	"fmt"
	"go/ast"
	"strings"
)

// Sizes limits the lengths of functions and files. It ignores tests, test helper packages (such as
// storetest), and generated files.
type Sizes struct {
	Function int // longest function allowed, in lines
	Usual    int // length that a function should not exceed
	Longer   int // number of functions longer than Usual; may only shrink
	File     int // longest file allowed, in lines
	// Files lists the longer files that are allowed, with the reasons. It may only shrink.
	Files map[string]string
}

// Check reports functions and files that exceed the limits, and limits that are looser than
// necessary.
func (s Sizes) Check(t *Tree) []Finding {
	var found, longer []Finding
	for _, f := range t.Go {
		if f.Test || f.Generated || strings.HasSuffix(f.Package(), "test") {
			continue
		}
		found = append(found, s.file(f)...)
		for _, d := range f.AST.Decls {
			function, ok := d.(*ast.FuncDecl)
			if !ok || function.Body == nil {
				continue
			}
			lines := t.set.Position(function.End()).Line - t.set.Position(function.Pos()).Line + 1
			what := fmt.Sprintf("%s is %d lines long", function.Name.Name, lines)
			switch {
			case lines > s.Function:
				found = append(found, Finding{t.Line(function.Pos()), what,
					fmt.Sprintf("no function exceeds %d lines: give its parts names of their own", s.Function)})
			case lines > s.Usual:
				longer = append(longer, Finding{t.Line(function.Pos()), what,
					fmt.Sprintf("%d functions may exceed %d lines, and the number only goes down: make this one or another shorter", s.Longer, s.Usual)})
			}
		}
	}
	return append(append(found, s.ratchet(longer)...), s.stale(t)...)
}

func (s Sizes) file(f *GoFile) []Finding {
	if _, allowed := s.Files[f.Path]; allowed || f.Lines() <= s.File {
		return nil
	}
	return []Finding{{f.Path, fmt.Sprintf("is %d lines long", f.Lines()),
		fmt.Sprintf("beyond %d lines a file holds more than one noun: split it by noun", s.File)}}
}

func (s Sizes) ratchet(longer []Finding) []Finding {
	switch {
	case len(longer) > s.Longer:
		return longer
	case len(longer) < s.Longer:
		return []Finding{{"internal/tool/tidy", fmt.Sprintf("only %d functions exceed %d lines", len(longer), s.Usual),
			fmt.Sprintf("keep the gain: set Longer to %d", len(longer))}}
	}
	return nil
}

func (s Sizes) stale(t *Tree) []Finding {
	var found []Finding
	for name := range s.Files {
		needed := false
		for _, f := range t.Go {
			needed = needed || f.Path == name && f.Lines() > s.File
		}
		if !needed {
			found = append(found, Finding{name, "is an exception that is not needed any more", "remove it from the list in internal/tool/tidy"})
		}
	}
	return found
}
