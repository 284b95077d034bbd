package script

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestGenerate(t *testing.T) {
	for seed := range uint64(50) {
		orders := Generate(seed, 12)
		if !reflect.DeepEqual(orders, Generate(seed, 12)) {
			t.Fatalf("seed %d writes different orders when it is asked again", seed)
		}
		seen, ids := map[string]bool{}, map[string]bool{}
		for i := range orders {
			if err := orders[i].Check(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			seen[orders[i].Scenario], ids[orders[i].OrderID] = true, true
		}
		if len(seen) != len(Kinds) || len(ids) != len(orders) {
			t.Fatalf("seed %d: %d kinds of %d, %d ids of %d orders", seed, len(seen), len(Kinds), len(ids), len(orders))
		}
	}
	if reflect.DeepEqual(Generate(1, 12)[0].Lines, Generate(2, 12)[0].Lines) && reflect.DeepEqual(Generate(1, 12)[1].Lines, Generate(2, 12)[1].Lines) {
		t.Error("two seeds write the same orders")
	}
}

func TestRead(t *testing.T) {
	orders, err := Read("orders.jsonl", strings.NewReader(`
# a comment

{"scenario": "card declined"}
{"scenario": "no carrier", "order_id": "mine", "lines": [{"sku": "desk", "quantity": 2, "unit_cents": 500}]}
{"order_id": "bare", "customer": "Bo", "country": "Germany", "card": "visa-ada", "lines": [{"sku": "lamp", "quantity": 3, "unit_cents": 700}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(orders) != 3 || orders[0].OrderID != "order-line-4" || orders[0].Card != "visa-empty" || orders[0].TotalCents == 0 {
		t.Errorf("read %+v", orders)
	}
	if o := orders[1]; o.OrderID != "mine" || o.Country != "Atlantis" || o.TotalCents != 1000 || len(o.Lines) != 1 {
		t.Errorf("read %+v", o)
	}
	if o := orders[2]; o.TotalCents != 2100 || o.Scenario != "" {
		t.Errorf("read %+v", o)
	}
}

func TestReadRefuses(t *testing.T) {
	long := `{"customer": "` + strings.Repeat("a", MaxLine) + `"}`
	for text, want := range map[string]string{
		"":                         "orders.jsonl holds no order",
		"# nothing":                "orders.jsonl holds no order",
		"\n{":                      "orders.jsonl, line 2: is not an order in JSON",
		"[]":                       "line 1: is not an order in JSON",
		`{"card": 7}`:              "line 1: is not an order in JSON",
		`{"colour": "red"}`:        `line 1: is not an order in JSON: json: unknown field "colour"`,
		`{"scenario": "flood"}`:    `line 1: scenario "flood" is unknown; use one of: all well, out of stock`,
		`{"scenario": "crash"} {}`: "line 1: has something after the JSON object",
		`{"order_id": "a b"}`:      "line 1: order_id: saga id",
		`{"customer": "Ada"}`:      "lines: there are 0",
		long:                       "line 1: is longer than 65536 bytes",
		"{\"scenario\": \"crash\", \"order_id\": \"x\"}\n{\"scenario\": \"crash\", \"order_id\": \"x\"}": "line 2: order_id x is already used in line 1",
		`{"scenario": "crash", "total_cents": 1}`:                                                        "line 1: total_cents: is 1",
	} {
		_, err := Read("orders.jsonl", strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: want %q, got %v", text, want, err)
		}
	}
	_, err := Read("orders.jsonl", strings.NewReader("{\n{\"scenario\": \"crash\"}\n}"))
	var line *LineError
	if !errors.As(err, &line) || line.Line != 1 || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("not every line is reported: %v", err)
	}
}
