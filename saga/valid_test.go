package saga

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// TestDefinitionsAreReadable checks that a definition must also be JSON that all parsers read
// alike.
func TestDefinitionsAreReadable(t *testing.T) {
	const text = `{"name":"n","version":1,"steps":[{"step":{"name":"a","kind":"pivot","do":{"participant":"p","action":"x","with":"{\"a\": \"%s\"}"}}}]}`
	for name, constant := range map[string]string{"Latin-1": "caf\xe9", "half a pair": `\ud800`, "half a pair in CEL": `\\ud800`, "bytes in CEL": `\" + string(b\"\\xff`} {
		def, err := ParseJSON(fmt.Appendf(nil, text, constant))
		if err == nil && name != "bytes in CEL" {
			t.Errorf("%s is taken: %s", name, def.canonical)
		}
	}
	def, err := ParseJSON(fmt.Appendf(nil, text, "<é> \\ud83d\\ude00 &"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(def.canonical, []byte(`<é> 😀 &`)) {
		t.Errorf("it is kept as %s", def.canonical)
	}
	_, eff, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(`{}`)})
	if err != nil || len(eff.Commands) != 1 || string(eff.Commands[0].Payload) != `{"a":"<é> 😀 &"}` {
		t.Errorf("it asks %v, %v", eff.Commands, err)
	}
}
