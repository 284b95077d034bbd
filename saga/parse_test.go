package saga

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/amends-dev/amends/contract"
)

const parsed = `{"name":"refund","version":2,"input":{"Order":"string"},"steps":[
  {"step":{"name":"pay-back","kind":"retriable","do":{"participant":"payment","action":"pay-back","timeout":"1m30s"}}}]}`

func TestParseJSON(t *testing.T) {
	d, err := ParseJSON([]byte(parsed))
	if err != nil {
		t.Fatal(err)
	}
	if d.Ref() != (contract.DefinitionRef{Name: "refund", Version: 2}) || d.Len() != 1 {
		t.Errorf("read %v", d.Spec())
	}
	escaped, err := json.Marshal(d) // encoding/json escapes characters that MarshalJSON does not
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseJSON(escaped)
	if err != nil || again.Fingerprint() != d.Fingerprint() {
		t.Errorf("fingerprint %s becomes %v, %v", d.Fingerprint(), again, err)
	}
}

func TestParseJSONRefusesWhatIsNotJSON(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"empty", ``, "line 1, column 1: unexpected end of JSON input"},
		{"half", `{"name":`, "line 1, column 8: unexpected end of JSON input"},
		{"not JSON", "{\n  name: x\n}", "line 2, column 3: invalid character 'n'"},
		{"more behind it", parsed + "{}", "line 2, column 121: invalid character '{' after top-level value"},
		{"deep", strings.Repeat(`[`, 1000) + strings.Repeat(`]`, 1000), "line 1, column 129: it is nested deeper than 128"},
		{"very deep", strings.Repeat(`[`, 100_000), "exceeded max depth"},
		{"long", `"` + strings.Repeat("x", MaxDefinition) + `"`, "1048578 bytes; at most 1048576 are allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseJSON([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "definition: ") {
				t.Fatalf("got %.300v, want %s", err, test.want)
			}
			if len(err.Error()) > 1_000 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
			if errors.Is(err, ErrDefinition) {
				t.Error("an error of the JSON is a *DefinitionError")
			}
		})
	}
}

func TestParseJSONIsStrict(t *testing.T) {
	const fields = "name, kind, do, undo, nothingToUndo"
	for _, test := range []struct{ name, text, want string }{
		{"a list", `[]`, "definition: line 1, column 1: is not an object; write an object with fields among name, version"},
		{"unknown field", strings.Replace(parsed, "kind", "kin", 1), "steps[0].kin: line 2, column 30: there is no such field; write one of " + fields},
		{"upper case", strings.Replace(parsed, "kind", "Kind", 1), "steps[0].Kind: line 2, column 30: there is no such field; write one of " + fields},
		{"twice", strings.Replace(parsed, `"kind"`, `"name":"x","kind"`, 1), "steps[0].name: line 2, column 30: is given twice; keep one"},
		{"twice in a schema", strings.Replace(parsed, `"Order"`, `"Order":"int","Order"`, 1), "input.Order: line 1, column 53: is given twice; keep one"},
		{"deep in a schema", `{"input":` + strings.Repeat(`[`, 120) + `"int"` + strings.Repeat(`]`, 120) + `}`, "input: line 1, column 2: schema is nested deeper than 32"},
		{"bad schema", strings.Replace(parsed, `"string"`, `"strng"`, 1), `input: line 1, column 30: schema at .Order: "strng" is not a kind of value`},
		{"wrong type", strings.Replace(parsed, "2", `"two"`, 1), "version: line 1, column 18: holds a JSON string; write a whole number"},
		{"a fraction", strings.Replace(parsed, "2", `1.5`, 1), "version: line 1, column 18: holds a JSON number 1.5; write a whole number"},
		{"not a list", `{"steps":{}}`, "steps: line 1, column 2: is not a list; write a list, in [ ]"},
		{"bare duration", strings.Replace(parsed, `"1m30s"`, `90`, 1), `steps[0].do.timeout: line 2, column 99: a duration is a string such as "30s" or "1h15m", not 90`},
		{"bad duration", strings.Replace(parsed, `"1m30s"`, `"soon"`, 1), `duration "soon": write it like "30s" or "1h15m"`},
		{"long key", `{"` + strings.Repeat("x", 500_000) + `":1}`, "there is no such field"},
		{"a bad name", strings.Replace(parsed, "pay-back", "Pay", 1), `step name "Pay" cannot be used`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseJSON([]byte(test.text))
			if !errors.Is(err, ErrDefinition) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %.600v, want %s", err, test.want)
			}
			if len(err.Error()) > 1_000 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
		})
	}
}

// TestParseJSONReportsAllAtOnce checks that problems of the form do not hide problems of the
// definition, and that consequences of other problems are not reported.
func TestParseJSONReportsAllAtOnce(t *testing.T) {
	_, err := ParseJSON([]byte(`{"name":"refund","version":2,"owner":"me","deadline":"soon",
 "input":{"id":"strng","cents":"integer","city":"string"},"steps":[
  {"step":{"name":"pay-back","kind":"compensable","do":{"participant":"payment","action":"pay-back","timeout":90,"retry":{"attempts":"two"}}}},
  {"parallel":[{"step":{"name":7,"kind":"retriable","do":{"participant":"Post","action":"send","with":"{\"id\": input.id, \"x\": inputt.x}"}}}]}]}`))
	found, ok := errors.AsType[*DefinitionError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	want := []string{
		"owner: line 1", "deadline: line 1", "input: line 2", "input: line 2", "steps[0].do.timeout: line 3", "steps[0].do.retry.attempts: line 3",
		"steps[1].parallel[0].name: line 4", "steps[0] (pay-back): a compensable step has no undo",
		`steps[1].parallel[0] ().do.participant: participant name "Post"`, "steps[1].parallel[0] ().do.with: line 1, column 23: undeclared reference",
	}
	if len(found.Problems) != len(want) {
		t.Fatalf("%d problems, want %d: %v", len(found.Problems), len(want), err)
	}
	for i, p := range found.Problems {
		if !strings.HasPrefix(p.String(), want[i]) {
			t.Errorf("problem %d is %q, want %q", i, p, want[i])
		}
	}
}

// TestParseJSONBoundsItsProblems checks that the error of a definition with problems everywhere is
// bounded (I10).
func TestParseJSONBoundsItsProblems(t *testing.T) {
	text := `{"name":"x","version":1,"steps":[` + strings.Repeat(`{"stp":1},`, 5000) + `{}]}`
	_, err := ParseJSON([]byte(text))
	found, ok := errors.AsType[*DefinitionError](err)
	if !ok || len(found.Problems) != maxProblems+1 || found.Problems[maxProblems].What != "there are more problems" {
		t.Fatalf("got %.300v", err)
	}
}

// TestCanonicalJSONEscapesNothing checks that expressions stay readable in JSON.
func TestCanonicalJSONEscapesNothing(t *testing.T) {
	spec := good()
	spec.Steps[0].Step.Do.With = `1 < 2 && 2 > 1`
	d, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.MarshalJSON()
	if err != nil || !strings.Contains(string(text), `"with":"1 < 2 && 2 > 1"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestFingerprintIsOfWhatTheAuthorWrote(t *testing.T) {
	fingerprint := func(spoil func(*Spec)) string {
		spec := good()
		spoil(&spec)
		d, err := New(spec)
		if err != nil {
			t.Fatal(err)
		}
		return d.Fingerprint()
	}
	plain := fingerprint(func(*Spec) {})
	if len(plain) != 64 || strings.ToLower(plain) != plain {
		t.Errorf("%s is no lower-case SHA-256", plain)
	}
	if got := fingerprint(func(*Spec) {}); got != plain {
		t.Errorf("the same spec has another fingerprint: %s", got)
	}
	if got := fingerprint(func(s *Spec) { s.Steps[0].Step.Do.Timeout = Duration(DefaultTimeout) }); got == plain {
		t.Error("a default that is written out has the same fingerprint")
	}
	// The fingerprint must never change, because it is stored.
	const pinned = "ab6079763c174bdb2f061c94b99599555942419b78ea9f6119b49ad6f8660f5a"
	if plain != pinned {
		t.Errorf("the canonical form changed: %s, it was %s", plain, pinned)
	}
}

func TestDurationsReadWell(t *testing.T) {
	for text, want := range map[string]string{
		"10m0s": "10m", "1h0m0s": "1h", "1h0m5s": "1h0m5s", "90s": "1m30s", "0s": "0s", "100h": "100h", "10s": "10s", "1h30m": "1h30m", "20ms": "20ms", "-10m": "-10m",
	} {
		var d Duration
		if err := json.Unmarshal([]byte(`"`+text+`"`), &d); err != nil {
			t.Fatal(err)
		}
		if d.String() != want {
			t.Errorf("%s is written %s, want %s", text, d, want)
		}
		var again Duration
		data, err := json.Marshal(d)
		if err != nil || json.Unmarshal(data, &again) != nil || again != d {
			t.Errorf("%s reads back as %s", d, again)
		}
	}
}

// FuzzParseJSON checks that an accepted definition is unchanged after encoding and parsing it.
func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(parsed))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"name":"x","version":1,"steps":[{"parallel":[{"sequence":[{"step":null}]}]}]}`))
	f.Add([]byte(`{"name":"x","version":1,"input":{"a?":["int?"],"*":{"?":{}}},"steps":[]}`))
	d, err := testCheckout()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(d.canonical)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseJSON(data)
		if err != nil {
			if len(err.Error()) > 200_000 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
			return
		}
		text, err := d.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseJSON(text)
		if err != nil {
			t.Fatalf("%s does not read back: %v", text, err)
		}
		if again.Fingerprint() != d.Fingerprint() {
			t.Fatalf("%s reads back as %s", text, again.canonical)
		}
	})
}

// TestSchemaErrors checks that all problems of a schema are reported at once.
func TestSchemaErrors(t *testing.T) {
	_, err := ParseJSON([]byte(`{"name":"x","version":1,"input":{"a":"strng","b":{"c":1}},"steps":[]}`))
	for _, want := range []string{`schema at .a: "strng"`, `schema at .b.c: 1 is not a kind`} {
		if !errors.Is(err, ErrDefinition) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
}
