package tidy

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// synonyms maps words that this repository does not use to the right name. They are words of other
// systems for terms of the domain, and private words for standard terms.
var synonyms = map[string]string{
	"workflow":     "saga or definition",
	"workflows":    "sagas or definitions",
	"task":         "step or command",
	"tasks":        "steps or commands",
	"job":          "step or command",
	"jobs":         "steps or commands",
	"activity":     "step or participant",
	"activities":   "steps or participants",
	"orchestrator": "coordinator",
	"rollback":     "compensation or undo",

	"verb":      "operation, request or method",
	"verbs":     "operations, requests or methods",
	"mend":      "fix",
	"mended":    "fixed",
	"debt":      "outbox entry or command",
	"debts":     "outbox entries or commands",
	"owe":       "enqueue",
	"owes":      "enqueues",
	"owed":      "pending",
	"settle":    "acknowledge, complete, discard or end",
	"settled":   "acknowledged, completed, discarded or at rest",
	"patience":  "timeout or backoff",
	"patient":   "retry",
	"dice":      "rng",
	"knob":      "fault",
	"sight":     "coverage",
	"yardstick": "baseline",
	"crew":      "workload",
	"town":      "fixture",
	"platter":   "disk",
	"glance":    "check",
	"homeless":  "what is missing",
	"stranded":  "unreachable",
	"restful":   "at rest",
}

// transactional lists packages that end database transactions, in which "roll back" is the right
// term.
var transactional = []string{"participant/sqlinbox", "participant/boltinbox", "store/boltstore", "participant", "examples/order-checkout"}

// unsorted is the package in which identifiers may contain synonyms, because its names change
// together with its layout.
const unsorted = "store/boltstore"

// business lists packages in which "settle" is a term of a business domain.
var business = []string{"internal/lab"}

// Identifiers reports declared names that contain a synonym.
func Identifiers(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Go {
		if f.Generated || f.Package() == "internal/tool/tidy" {
			continue
		}
		for _, name := range declared(f.AST) {
			for _, word := range words(name.Name) {
				right, banned := synonyms[word]
				if !banned || word == "rollback" && slices.Contains(transactional, f.Package()) ||
					f.Package() == unsorted || word == "settle" && slices.Contains(business, f.Package()) {
					continue
				}
				found = append(found, Finding{t.Line(name.Pos()), name.Name + " says " + word, "here it is called " + right})
			}
		}
	}
	return found
}

// declared returns the identifiers that a file declares.
func declared(file *ast.File) []*ast.Ident {
	var names []*ast.Ident
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			names = append(names, n.Name)
		case *ast.TypeSpec:
			names = append(names, n.Name)
		case *ast.ValueSpec:
			names = append(names, n.Names...)
		case *ast.Field:
			names = append(names, n.Names...)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, left := range n.Lhs {
					if name, ok := left.(*ast.Ident); ok {
						names = append(names, name)
					}
				}
			}
		}
		return true
	})
	return names
}

// words splits an identifier at capitals and underscores, in lower case.
func words(identifier string) []string {
	var parts []string
	start := 0
	runes := []rune(identifier)
	cut := func(end int) {
		if end > start {
			parts = append(parts, strings.ToLower(string(runes[start:end])))
		}
		start = end
	}
	for i, r := range runes {
		switch {
		case r == '_':
			cut(i)
			start = i + 1
		case unicode.IsUpper(r) && i > 0 && !unicode.IsUpper(runes[i-1]):
			cut(i)
		}
	}
	cut(len(runes))
	return parts
}

// foreign lists words of other systems. Documents may use them only in a section whose heading
// announces a comparison.
var foreign = regexp.MustCompile(`(?i)\b(workflows?|orchestrat(?:or|ors|ion|ions|ed|es|ing)|activit(?:y|ies))\b`)

// private lists words that prose must not use.
var private = regexp.MustCompile(`(?i)\b(verbs?|mend(?:s|ed|ing)?|anew|says whether|he|his|him|himself)\b`)

// Prose reports foreign and private words in comments and documents.
func Prose(t *Tree) []Finding {
	const fix = "use the words of this project (CONTRIBUTING.md); comparisons go under a heading that says so"
	const plain = "use the trade's word (CONTRIBUTING.md): operation, fix, again, reports whether, they"
	var found []Finding
	for _, f := range t.Go {
		if f.Generated || f.Package() == "internal/tool/tidy" {
			continue
		}
		for _, group := range f.AST.Comments {
			if word := foreign.FindString(group.Text()); word != "" {
				found = append(found, Finding{t.Line(group.Pos()), "says " + word, fix})
			}
			if word := private.FindString(group.Text()); word != "" {
				found = append(found, Finding{t.Line(group.Pos()), "says " + word, plain})
			}
		}
	}
	for _, text := range t.Texts {
		if path.Ext(text.Path) != ".md" || !text.Written() {
			continue
		}
		heading := ""
		for i, line := range strings.Split(string(text.Source), "\n") {
			if strings.HasPrefix(line, "#") {
				heading = strings.ToLower(line)
			}
			if word := foreign.FindString(strings.ReplaceAll(line, ".github/workflows", "")); word != "" && !strings.Contains(heading, "compare") && text.Path != "CONTRIBUTING.md" {
				found = append(found, Finding{at(text, i), "says " + word, fix})
			}
			if word := private.FindString(line); word != "" && text.Path != "CONTRIBUTING.md" {
				found = append(found, Finding{at(text, i), "says " + word, plain})
			}
		}
	}
	return found
}

var (
	open   = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	reason = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\([^)]+\): \S`)
)

// OpenEnds reports notes to do something later that name neither a reason nor an issue.
func OpenEnds(t *Tree) []Finding {
	return lines(t, func(line string) (string, string) {
		if open.MatchString(line) && !reason.MatchString(line) {
			return "leaves something open without a reason", "do it now, or write TODO(issue or reason): what"
		}
		return "", ""
	})
}

// leaks matches text that is specific to one person's machine or account and must not be in a
// public repository.
var leaks = map[string]*regexp.Regexp{
	"a path of somebody's machine": regexp.MustCompile(`(?:^|[\s"'=(` + "`" + `])/(?:root|work|home/[a-z]+|Users/[A-Za-z]+|mnt/[a-z]+|tmp/[a-z_]+\d*)/[\w.]`),
	"a private key":                regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`),
	"an access token":              regexp.MustCompile(`\b(?:ghp_|gho_|github_pat_|npm_|xox[bp]-|AKIA)[A-Za-z0-9_]{16,}`),
	"a private address":            regexp.MustCompile(`\b(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}\b`),
}

// Leaks reports text that is specific to somebody's machine or account.
func Leaks(t *Tree) []Finding {
	return lines(t, func(line string) (string, string) {
		for what, shape := range leaks {
			if shape.MatchString(line) {
				return "holds " + what, "name the thing by what it is to every reader, or read it from the environment"
			}
		}
		return "", ""
	})
}

// lines runs check on every line that people wrote, outside of this package.
func lines(t *Tree, check func(line string) (what, mend string)) []Finding {
	var found []Finding
	look := func(text *Text) {
		for i, line := range strings.Split(string(text.Source), "\n") {
			if what, mend := check(line); what != "" {
				found = append(found, Finding{at(text, i), what, mend})
			}
		}
	}
	for _, f := range t.Go {
		if !f.Generated && f.Package() != "internal/tool/tidy" {
			look(&Text{f.Path, f.Source})
		}
	}
	for _, text := range t.Texts {
		if text.Written() {
			look(text)
		}
	}
	return found
}
