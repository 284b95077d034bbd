package tidy

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// at returns "file:line" for the i-th line, counted from 0.
func at(text *Text, i int) string { return fmt.Sprintf("%s:%d", text.Path, i+1) }

// link matches the target of a Markdown link, without the fragment.
var link = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)

// Links reports broken links between documents.
func Links(t *Tree) []Finding {
	var found []Finding
	for _, text := range t.Texts {
		if path.Ext(text.Path) != ".md" || !text.Written() {
			continue
		}
		for i, line := range strings.Split(string(text.Source), "\n") {
			for _, match := range link.FindAllStringSubmatch(line, -1) {
				target := match[1]
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				if !t.Exists(path.Join(path.Dir(text.Path), target)) {
					found = append(found, Finding{at(text, i), "links to " + target + ", which does not exist",
						"correct the path from the document's own folder, or write the document"})
				}
			}
		}
	}
	return found
}

// Snippets reports Go code in documents that is in no Go file of the repository, because only
// compiled and tested code stays correct. It ignores indentation. It does not check blocks marked
// as `text`, which are sketches.
func Snippets(t *Tree) []Finding {
	var found []Finding
	for _, text := range t.Texts {
		if path.Ext(text.Path) != ".md" || !text.Written() {
			continue
		}
		for start, code := range goBlocks(string(text.Source)) {
			if !t.contains(unindented(code)) {
				found = append(found, Finding{at(text, start), "this Go code stands in no Go file",
					"copy it, whole lines, from an example or a test; or change both together"})
			}
		}
	}
	return found
}

// goBlocks returns the fenced Go blocks of a document, keyed by their first line.
func goBlocks(document string) map[int]string {
	blocks := map[int]string{}
	start := -1
	for i, line := range strings.Split(document, "\n") {
		switch fence := strings.TrimSpace(line); {
		case start < 0 && fence == "```go":
			start = i
			blocks[start] = ""
		case start >= 0 && fence == "```":
			start = -1
		case start >= 0:
			blocks[start] += line + "\n"
		}
	}
	return blocks
}

func (t *Tree) contains(code string) bool {
	for _, f := range t.Go {
		if strings.Contains(unindented(string(f.Source)), code) {
			return true
		}
	}
	return false
}

// unindented returns code without leading and trailing white space in its lines, and without blank
// lines.
func unindented(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// Commands reports shell lines in documents that use a command that the coordinator's command line
// does not have. The commands are the fields of the grammar in internal/cli/cli.go.
func Commands(t *Tree) []Finding {
	known := grammar(t)
	var found []Finding
	for _, text := range t.Texts {
		if path.Ext(text.Path) != ".md" || !text.Written() {
			continue
		}
		fenced := false
		for i, line := range strings.Split(string(text.Source), "\n") {
			if fence, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
				fenced = fence == "sh"
			}
			if !fenced {
				continue
			}
			for _, match := range invocation.FindAllStringSubmatch(line, -1) {
				if !slices.Contains(known, match[1]) {
					found = append(found, Finding{at(text, i), "uses coordinator " + match[1] + ", which is no command",
						"see go run ./cmd/coordinator --help"})
				}
			}
		}
	}
	return found
}

var (
	invocation = regexp.MustCompile(`(?:^|[\s/])coordinator ([a-z][a-z-]*)`)
	named      = regexp.MustCompile(`name:"([a-z-]+)"`)
)

// grammar returns the names of the coordinator's commands.
func grammar(t *Tree) []string {
	var names []string
	for _, f := range t.Go {
		if f.Path != "internal/cli/cli.go" {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok || field.Tag == nil || !strings.Contains(field.Tag.Value, `cmd:"`) {
				return true
			}
			if match := named.FindStringSubmatch(field.Tag.Value); match != nil {
				names = append(names, match[1])
			} else {
				names = append(names, strings.ToLower(field.Names[0].Name))
			}
			return true
		})
	}
	return names
}

// invariant matches the number of an invariant where ARCHITECTURE.md defines it, and citation
// matches the number where a comment cites it.
var (
	invariant = regexp.MustCompile(`\*\*I(\d+)\*\*`)
	citation  = regexp.MustCompile(`\bI([1-9]\d?)\b`)
)

// Cited reports invariants that no test cites, and citations in Go files of invariants that
// ARCHITECTURE.md does not define.
func Cited(t *Tree) []Finding {
	var found []Finding
	tested := map[string]bool{} // whether a test cites each defined invariant
	if text := t.Text(Map); text != nil {
		for _, m := range invariant.FindAllSubmatch(text.Source, -1) {
			tested["I"+string(m[1])] = false
		}
	}
	if len(tested) == 0 {
		return []Finding{{Map, "defines no invariants", "define them in its table, as **I1**"}}
	}
	for _, f := range t.Go {
		if f.Package() == "internal/tool/tidy" {
			continue
		}
		for _, group := range f.AST.Comments {
			for _, name := range citation.FindAllString(group.Text(), -1) {
				if _, defined := tested[name]; !defined {
					found = append(found, Finding{t.Line(group.Pos()), "cites " + name + ", which " + Map + " does not define", "write the invariant down there, or cite another"})
				}
				if f.Test {
					if _, defined := tested[name]; defined {
						tested[name] = true
					}
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tested)) {
		if !tested[name] {
			found = append(found, Finding{Map, "no test cites " + name, "name the invariant in the comment of the test that would fail without it"})
		}
	}
	return found
}
