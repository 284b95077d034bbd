package saga

import (
	"errors"
	"strings"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// TestInputIsChecked checks that an input which the mappings could not use is refused at the start,
// and that the error has the position and what would be valid (I9).
func TestInputIsChecked(t *testing.T) {
	type line struct {
		SKU      string `json:"sku"`
		Quantity int    `json:"quantity"`
	}
	type order struct {
		ID     string            `json:"id"`
		Lines  []line            `json:"lines"`
		Labels map[string]string `json:"labels,omitempty"`
		Gift   *bool             `json:"gift"`
		Weight float64           `json:"weight"`
	}
	pack := contract.NewCommand[struct {
		ID string `json:"id"`
	}, any]("store", "pack")
	def := MustDefine[order]("order", Retriable("pack", Do(pack, With(`{"id": input.id}`))))
	start := func(def *Definition, input string) error {
		_, _, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: epoch, ID: "o1", Payload: []byte(input)})
		return err
	}
	for input, want := range map[string]string{
		`{"id":"a","lines":[{"sku":"tea","quantity":1}],"labels":{"a":"b"},"gift":true,"weight":1.5}`: "",
		`{"id":"a","lines":null,"weight":2,"more":"is passed over"}`:                                  "",
		`{"lines":[]}`:                                                 "id is missing",
		`{"id":7,"lines":[],"weight":1}`:                               "id is a number, want string",
		`{"id":"a","lines":[{"sku":"tea"}],"weight":1}`:                "lines[0].quantity is missing",
		`{"id":"a","lines":[{"sku":"tea","quantity":1.5}],"weight":1}`: "lines[0].quantity is not a 64-bit integer",
		`{"id":"a","lines":{},"weight":1}`:                             "lines is an object, want list of object",
		`{"id":"a","lines":[],"labels":{"a":1},"weight":1}`:            "labels[] is a number, want string",
		`{"id":"a","lines":[],"gift":"yes","weight":1}`:                "gift is a string, want bool",
		`[]`: "the data is a list, want object",
	} {
		err := start(def, input)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", input, err)
		case want != "" && (!errors.Is(err, machine.ErrInput) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", input, err, want)
		}
	}
	plain := MustDefine[order]("plain", Retriable("pack", Do(contract.NewCommand[order, any]("store", "pack"))))
	if err := start(plain, `{"anything":"goes"}`); err != nil {
		t.Errorf("without a mapping the input is passed on as it is: %v", err)
	}
}
