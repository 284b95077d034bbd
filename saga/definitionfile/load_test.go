package definitionfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/definitionfile"
)

const refund = `name: refund
version: 1
steps:
  - step: {name: pay-back, kind: retriable, do: {participant: payment, action: pay-back}}
`

// files creates a directory with the given files.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadReadsADirectoryInOrder(t *testing.T) {
	asJSON := `{"name":"credit","version":1,"steps":[{"step":{"name":"a","kind":"retriable","do":{"participant":"p","action":"a"}}}]}`
	dir := files(t, map[string]string{
		"b.yml": refund, "c.json": asJSON, "a.yaml": strings.Replace(refund, "version: 1", "version: 2", 1),
		"README.md": "not a definition", ".hidden.yaml": "nor this"})
	if err := os.Mkdir(filepath.Join(dir, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := definitionfile.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for _, d := range got {
		refs = append(refs, d.Ref().String())
	}
	if fmt.Sprint(refs) != "[refund/2 refund/1 credit/1]" {
		t.Errorf("loaded %v", refs)
	}
	if one, err := definitionfile.Load(filepath.Join(dir, "b.yml")); err != nil || len(one) != 1 {
		t.Errorf("one file: %v, %v", one, err)
	}
}

func TestLoadReportsEveryFile(t *testing.T) {
	dir := files(t, map[string]string{
		"1.yaml": refund, "2.yaml": refund, "3.json": "{", "4.yaml": strings.Replace(refund, "pay-back", "PayBack", 1)})
	_, err := definitionfile.Load(dir)
	if !errors.Is(err, saga.ErrDefinition) {
		t.Errorf("no *saga.DefinitionError in %v", err)
	}
	for _, want := range []string{
		"2.yaml: definition refund/1 is in " + filepath.Join(dir, "1.yaml") + " as well; keep one",
		"3.json: definition: line 1, column 1: unexpected end",
		"4.yaml: definition \"refund\" has 1 problem:\n  steps[0] (PayBack).name:",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := files(t, map[string]string{"a.txt": refund, "long.json": strings.Repeat(" ", saga.MaxDefinition+1)})
	if err := os.Mkdir(filepath.Join(dir, "dir.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	many := t.TempDir()
	for i := range definitionfile.MaxFiles + 1 {
		if err := os.WriteFile(filepath.Join(many, fmt.Sprintf("%d.yaml", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "nothing.yaml"): "no such file",
		filepath.Join(dir, "a.txt"):        "the name must end in .json, .yaml or .yml",
		filepath.Join(dir, "long.json"):    "is longer than 1048576 bytes, the limit of a definition",
		dir:                                "dir.yaml: is not a regular file",
		many:                               "holds 1001 definition files; at most 1000 are allowed",
	} {
		if _, err := definitionfile.Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

func TestParseYAMLIsStrict(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'l'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	for name, test := range map[string]struct{ text, want string }{
		"empty":                 {"", "the file is empty"},
		"twice":                 {refund + "version: 2\n", `version: line 5, column 1: is given twice; keep one`},
		"unknown field":         {refund + "owner: me\n", `owner: line 5, column 1: there is no such field; write one of name, version`},
		"second document":       {refund + "---\n" + refund, "there is a second document after ---"},
		"keys that are numbers": {refund + "1: x\n", "1: line 5, column 1: there is no such field"},
		"keys that are lists":   {refund + "[1]: x\n", "line 5, column 1: a key must be a string"},
		"merge":                 {refund + "<<: {owner: me}\n", "line 5, column 1: a key must be a string"},
		"alias":                 {"name: &n refund\nversion: *n\n", "line 2, column 10: an alias (*n) is not allowed; write it out"},
		"wrong type":            {strings.Replace(refund, "kind: retriable", "kind: 1", 1), "steps[0].kind: line 4, column 32: holds a JSON number; write a string"},
		"not a number":          {strings.Replace(refund, "version: 1", "version: .nan", 1), ".nan cannot be represented in JSON; write another value"},
		"not YAML":              {"a: [", "did not find expected node content"},
		"aliases without end":   {bomb, "is not allowed; write it out"},
		"deep":                  {strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "nested deeper than"},
		"very deep":             {strings.Repeat("[", 500_000), "exceeded max depth"},
		"long":                  {strings.Repeat(" ", saga.MaxDefinition+1), "at most 1048576 are allowed"},
	} {
		if _, err := definitionfile.ParseYAML([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %.200v, want %s", name, err, test.want)
		}
	}
}

// TestParseYAMLIsLinear checks that thousands of unknown fields are refused as quickly as one (I9).
func TestParseYAMLIsLinear(t *testing.T) {
	_, err := definitionfile.ParseYAML([]byte(strings.Repeat("a: b\n", 100_000)))
	if err == nil || !strings.Contains(err.Error(), "a: line 1, column 2: there is no such field") {
		t.Errorf("got %.200v", err)
	}
}

// TestParseYAMLLeavesWordsAlone checks that a field named y is not read as true.
func TestParseYAMLLeavesWordsAlone(t *testing.T) {
	d, err := definitionfile.ParseYAML([]byte(refund + "input: {x: int, y: int, on: bool, no: string}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "y", "on", "no"} {
		if d.Spec().Input.Fields[name] == nil {
			t.Errorf("the field %s is lost: %v", name, d.Spec().Input.Fields)
		}
	}
}

func FuzzParseYAML(f *testing.F) {
	f.Add([]byte(refund))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("{? [x] : y}"))
	f.Add([]byte("--- !!binary eA=="))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := definitionfile.ParseYAML(data)
		if err != nil {
			return
		}
		text, err := definitionfile.YAML(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := definitionfile.ParseYAML(text)
		if err != nil || again.Fingerprint() != d.Fingerprint() {
			t.Fatalf("reads back as %v, %v:\n%s", again, err, text)
		}
	})
}
