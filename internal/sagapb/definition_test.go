package sagapb

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// TestNoFieldIsForgotten: a struct of the domain has as many fields as its
// message. Who adds one extends the message, the conversion and the generators
// of these tests.
func TestNoFieldIsForgotten(t *testing.T) {
	for _, pair := range []struct {
		domain  any
		message proto.Message
	}{
		{machine.Instance{}, &amendsv1.Instance{}},
		{machine.Cause{}, &amendsv1.Cause{}},
		{machine.StepState{}, &amendsv1.StepState{}},
		{machine.Side{}, &amendsv1.Side{}},
		{machine.Event{}, &amendsv1.Event{}},
		{contract.DefinitionRef{}, &amendsv1.DefinitionRef{}},
		{saga.Spec{}, &amendsv1.Spec{}},
		{saga.Node{}, &amendsv1.Node{}},
		{saga.Step{}, &amendsv1.Step{}},
		{saga.Action{}, &amendsv1.Action{}},
		{saga.RetryPolicy{}, &amendsv1.RetryPolicy{}},
		{saga.Schema{}, &amendsv1.Schema{}},
	} {
		domain := reflect.TypeOf(pair.domain)
		message := pair.message.ProtoReflect().Descriptor()
		if domain.NumField() != message.Fields().Len() {
			t.Errorf("%v has %d fields and message %s has %d", domain, domain.NumField(), message.Name(), message.Fields().Len())
		}
	}
}

var durations = rapid.Map(rapid.Int64(), func(n int64) saga.Duration { return saga.Duration(n) })

var retries = rapid.Custom(func(t *rapid.T) saga.RetryPolicy {
	return saga.RetryPolicy{
		Attempts:        rapid.IntRange(0, 9).Draw(t, "attempts"),
		InitialInterval: durations.Draw(t, "initial interval"),
		MaxInterval:     durations.Draw(t, "max interval"),
	}
})

func schemas(depth int) *rapid.Generator[*saga.Schema] {
	return rapid.Custom(func(t *rapid.T) *saga.Schema {
		if rapid.IntRange(0, 3).Draw(t, "none") == 0 || depth == 0 {
			return nil
		}
		s := &saga.Schema{
			Kind: word(saga.SchemaAny, saga.SchemaObject, saga.SchemaMap, saga.SchemaList, saga.SchemaString,
				saga.SchemaTime, saga.SchemaBytes, saga.SchemaInt, saga.SchemaDouble, saga.SchemaBool).Draw(t, "kind"),
			Optional: rapid.Bool().Draw(t, "optional"),
			Items:    schemas(depth-1).Draw(t, "items"),
		}
		fields := rapid.MapOfN(rapid.String(), schemas(depth-1), 0, 3).Draw(t, "fields")
		for name, field := range fields {
			if field == nil {
				fields[name] = &saga.Schema{Kind: saga.SchemaInt}
			}
		}
		s.Fields = fields
		return s
	})
}

var actions = rapid.Custom(func(t *rapid.T) saga.Action {
	return saga.Action{
		Participant: names.Draw(t, "participant"),
		Action:      names.Draw(t, "action"),
		With:        rapid.String().Draw(t, "with"),
		Timeout:     durations.Draw(t, "timeout"),
		Retry:       retries.Draw(t, "retry"),
		Request:     schemas(2).Draw(t, "request"),
		Result:      schemas(2).Draw(t, "result"),
	}
})

func nodes(depth int) *rapid.Generator[saga.Node] {
	return rapid.Custom(func(t *rapid.T) saga.Node {
		shape := 0
		if depth > 0 {
			shape = rapid.IntRange(0, 2).Draw(t, "shape")
		}
		switch shape {
		case 1:
			return saga.Node{Parallel: rapid.SliceOfN(nodes(depth-1), 1, 3).Draw(t, "parallel")}
		case 2:
			return saga.Node{Sequence: rapid.SliceOfN(nodes(depth-1), 1, 3).Draw(t, "sequence")}
		}
		s := &saga.Step{
			Name:          contract.StepName(names.Draw(t, "name")),
			Kind:          word(contract.KindCompensable, contract.KindPivot, contract.KindRetriable).Draw(t, "kind"),
			Do:            actions.Draw(t, "do"),
			NothingToUndo: rapid.Bool().Draw(t, "nothing"),
		}
		if rapid.Bool().Draw(t, "undo") {
			undo := actions.Draw(t, "undo action")
			s.Undo = &undo
		}
		return saga.Node{Step: s}
	})
}

// TestSpecLaws: a spec comes back as it was, whether or not it would pass the
// checks.
func TestSpecLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := saga.Spec{
			Name:     names.Draw(t, "name"),
			Version:  rapid.Int().Draw(t, "version"),
			Deadline: durations.Draw(t, "deadline"),
			Input:    schemas(3).Draw(t, "input"),
			Timeout:  durations.Draw(t, "timeout"),
			Retry:    retries.Draw(t, "retry"),
			Steps:    rapid.SliceOfN(nodes(2), 0, 4).Draw(t, "steps"),
		}
		record, err := MarshalSpec(spec)
		if err != nil {
			t.Fatal(err)
		}
		got, err := UnmarshalSpec(record)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(spec, got, same); diff != "" {
			t.Fatalf("came back different (-want +got):\n%s", diff)
		}
		again, err := MarshalSpec(got)
		if err != nil || !bytes.Equal(record, again) {
			t.Fatalf("second writing differs: %v", err)
		}
	})
}

type order struct {
	OrderID string            `json:"order_id"`
	Amount  int               `json:"amount"`
	Labels  map[string]string `json:"labels"`
	Lines   []struct {
		SKU string `json:"sku"`
	} `json:"lines"`
}

type charged struct {
	Receipt string `json:"receipt"`
}

var (
	charge = contract.NewCommand[order, charged]("payment", "charge")
	refund = contract.UndoOf(charge, "refund")
	ship   = contract.NewCommand[charged, any]("shipping", "ship")
)

func checkout(t testing.TB) *saga.Definition {
	t.Helper()
	d, err := saga.Define[order]("checkout", saga.Version(3), saga.Deadline(time.Hour), saga.Retry(4, time.Second, time.Minute),
		saga.Compensable("pay", saga.Do(charge, saga.Timeout(time.Minute)), saga.Undo(refund)),
		saga.Pivot("ship", saga.Do(ship, saga.With(`{"receipt": result.pay.receipt}`))),
	)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDefinition: a definition comes back checked and with the same fingerprint.
func TestDefinition(t *testing.T) {
	d := checkout(t)
	record, err := MarshalDefinition(d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := UnmarshalDefinition(record)
	if err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint() != d.Fingerprint() || got.Ref() != d.Ref() || got.Len() != d.Len() {
		t.Errorf("%v %s came back as %v %s", d.Ref(), d.Fingerprint(), got.Ref(), got.Fingerprint())
	}
	if diff := cmp.Diff(d.Spec(), got.Spec(), same); diff != "" {
		t.Errorf("came back different (-want +got):\n%s", diff)
	}
}

// TestUnmarshalDefinitionRefuses: what is damaged, incomplete or not allowed is an
// error that says so.
func TestUnmarshalDefinitionRefuses(t *testing.T) {
	message := func(spoil func(*amendsv1.Definition)) []byte {
		spec, err := specMessage(checkout(t).Spec())
		if err != nil {
			t.Fatal(err)
		}
		m := &amendsv1.Definition{Spec: spec, Fingerprint: checkout(t).Fingerprint()}
		spoil(m)
		b, err := protoconv.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	step := func(m *amendsv1.Definition) *amendsv1.Step { return m.Spec.Steps[0].GetStep() }
	for want, record := range map[string][]byte{
		"spec is missing":         nil,
		"not a Definition":        []byte("\x0a\xff"),
		"stored as":               message(func(m *amendsv1.Definition) { m.Spec.DeadlineNano++ }),
		"a node is exactly one":   message(func(m *amendsv1.Definition) { m.Spec.Steps[0].Node = nil }),
		"kind is missing":         message(func(m *amendsv1.Definition) { step(m).Kind = 0 }),
		"kind of value 99":        message(func(m *amendsv1.Definition) { step(m).Do.Request.Kind = 99 }),
		"kind of value is missin": message(func(m *amendsv1.Definition) { m.Spec.Input.Fields["amount"].Kind = 0 }),
		"version -5":              message(func(m *amendsv1.Definition) { m.Spec.Version = -5 }),
		"version 922":             message(func(m *amendsv1.Definition) { m.Spec.Version = math.MaxInt64 }),
		`node 0: step "pay"`:      message(func(m *amendsv1.Definition) { step(m).Undo.Result = &amendsv1.Schema{Kind: -1} }),
		"recursion":               message(func(m *amendsv1.Definition) { m.Spec.Steps[0] = nested(5000) }),
		"nested":                  message(func(m *amendsv1.Definition) { m.Spec.Steps[0] = nested(30) }),
	} {
		if d, err := UnmarshalDefinition(record); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v and %v", want, err, d)
		}
	}
	if _, err := UnmarshalDefinition(message(func(*amendsv1.Definition) {})); err != nil {
		t.Errorf("the definition that is spoiled above is wrong by itself: %v", err)
	}
}

func nested(depth int) *amendsv1.Node {
	n := &amendsv1.Node{Node: &amendsv1.Node_Step{Step: &amendsv1.Step{Kind: amendsv1.Kind_KIND_PIVOT}}}
	for range depth {
		n = &amendsv1.Node{Node: &amendsv1.Node_Sequence{Sequence: &amendsv1.Nodes{Nodes: []*amendsv1.Node{n}}}}
	}
	return n
}

// TestMarshalSpecRefuses: a spec that could not be read back is not written down.
func TestMarshalSpecRefuses(t *testing.T) {
	for want, spec := range map[string]saga.Spec{
		"node 0: a node is exactly": {Steps: []saga.Node{{}}},
		`kind "" is not one of`:     {Steps: []saga.Node{{Step: &saga.Step{}}}},
		`input: kind of value "x"`:  {Input: &saga.Schema{Kind: "x"}},
		`field "f" has no schema`:   {Input: &saga.Schema{Kind: saga.SchemaObject, Fields: map[string]*saga.Schema{"f": nil}}},
	} {
		if _, err := MarshalSpec(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// FuzzUnmarshalDefinition: arbitrary bytes never panic.
func FuzzUnmarshalDefinition(f *testing.F) {
	record, err := MarshalDefinition(checkout(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add(record[:len(record)/2])
	f.Fuzz(func(t *testing.T, record []byte) {
		d, err := UnmarshalDefinition(record)
		if err != nil {
			return
		}
		if _, err := MarshalDefinition(d); err != nil {
			t.Fatalf("was read and cannot be written: %v", err)
		}
	})
}
