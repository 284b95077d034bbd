package mapping

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/saga/internal/datatest"
	"github.com/amends-dev/amends/saga/internal/schema"
	"github.com/amends-dev/amends/saga/machine"
)

// second compiles the mapping of the second of two steps.
func second(input *schema.Schema, with string) (*Mapping, error) {
	mapped, _, err := noted(input, with)
	return mapped, err
}

// noted does the same as second, and also returns the notes.
func noted(input *schema.Schema, with string) (mapped *Mapping, notes []Problem, err error) {
	steps := []Step{{Name: "step-one"}, {Name: "step-two", With: with}}
	mapped, problems, notes := NewCompiler(input, steps, [][]bool{{false, false}, {true, false}}).Compile(1)
	for _, p := range problems {
		err = errors.Join(err, errors.New(p.What+"; "+p.Fix))
	}
	return mapped, notes, err
}

// TestQuickIsWhole checks that a quick evaluation which is not refused has the output of a normal
// one, and stays within its cost. The first of each ten documents is written out three times and
// is so large that a quick evaluation has to refuse it.
func TestQuickIsWhole(t *testing.T) {
	quick, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		for i := range 10 {
			var c datatest.Canaries
			mapped, err := second(nil, datatest.Expression(t, 3, nil))
			if err != nil {
				continue
			}
			input, result := c.Document(t), c.Document(t)
			if i == 0 {
				if mapped, err = second(nil, "[input, input, input, dyn("+datatest.Expression(t, 2, nil)+")]"); err != nil {
					continue
				}
				input = fmt.Sprintf(`{"a":%q,"b":1,"c":%s}`, strings.Repeat("x", rapid.IntRange(quickData/3, quickData).Draw(t, "bytes")), c.Data(t, 1))
			} else if rapid.IntRange(0, 4).Draw(t, "much") == 0 {
				input = fmt.Sprintf(`{"a":%q,"b":[%s1],"c":%s}`, strings.Repeat("x", rapid.IntRange(0, 2*quickData).Draw(t, "size")),
					strings.Repeat("7,", rapid.IntRange(0, 400).Draw(t, "items")), c.Data(t, 1))
			}
			results := func(int) []byte { return []byte(result) }
			want, wantErr := mapped.Make([]byte(input), results)
			got, cost, err := mapped.MakeWithin([]byte(input), results)
			if errors.Is(err, machine.ErrCostly) {
				refused++
				continue
			}
			quick++
			if string(got) != string(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("%s of %s and %s:\nquick %s, %v\nwhole %s, %v", mapped.expression, input, result, got, err, want, wantErr)
			}
			if most := quickCost + 2*quickData/readPerUnit + quickData/writtenPerUnit; cost > most || cost < 0 || len(got) > quickData {
				t.Fatalf("%s costs %d and makes %d bytes, at most %d and %d", mapped.expression, cost, len(got), most, quickData)
			}
		}
	})
	if quick < 100 || refused == 0 {
		t.Errorf("%d were quick and %d refused: this tries too little", quick, refused)
	}
}
