//go:build lab

package console_test

import (
	"testing"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// TestPayloadsAreShownAsTheyAre checks that numbers keep all digits and members their order, in an
// input and in the result of a decision. JavaScript's numbers and objects keep neither.
func TestPayloadsAreShownAsTheyAre(t *testing.T) {
	w := newWorld(t)
	w.when(vanBreaks)
	if _, err := w.Start(t.Context(), connect.NewRequest(&apiv1.StartRequest{
		Id: "order-1", Definition: &apiv1.DefinitionRef{Name: "checkout"},
		Input: `{"order": "order-1", "cents": 9007199254740993, "json": {"9": 1.10, "1": "\"json\": {"}}`,
	})); err != nil {
		t.Fatal(err)
	}
	if phase := w.rests(t, "order-1"); phase != "parked" {
		t.Fatalf("the saga is %s, want parked", phase)
	}
	b := w.open(t, 1280, 900)
	b.goTo("/sagas/order-1")
	const input = `{\n  \"order\": \"order-1\",\n  \"cents\": 9007199254740993,\n  \"json\": {\n    \"9\": 1.10,\n    \"1\": \"\\\"json\\\": {\"\n  }\n}`
	b.until(`document.querySelector('section[aria-label="Facts"] pre').innerText === "` + input + `"`)
	b.until(`document.querySelector('tr[data-revision="1"] pre').innerText === "` + input + `"`)

	b.click(`[data-operation="resolve"]`)
	b.write(`dialog [name="result"]`, `{"receipt": `)
	b.write(`dialog [name="reason"]`, "the carrier has it")
	b.write(`dialog [name="by"]`, "kim")
	b.click(`dialog [data-confirm]`)
	b.until(`/Nothing was done.*not valid JSON/.test(document.querySelector("dialog [role=alert]").innerText)`)
	b.write(`dialog [name="result"]`, `"r-1", "9": 1.10, "1": 9007199254740993}`)
	b.click(`dialog [data-confirm]`)
	b.sees("kim decided: resolve")
	const result = `{\n  \"receipt\": \"r-1\",\n  \"9\": 1.10,\n  \"1\": 9007199254740993\n}`
	b.until(`[...document.querySelectorAll("tr[data-revision] pre")].some((p) => p.innerText === "` + result + `")`)
}
