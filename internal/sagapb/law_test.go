package sagapb

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/pool"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
)

// same compares values under the invariants: nil equals empty, and times are compared as instants.
var same = cmpopts.EquateEmpty()

// TestInstanceLaws checks that decoding an encoded state returns an equal state, that equal states
// have equal encodings, and that existing bytes in the buffer are kept.
func TestInstanceLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := instances.Draw(t, "instance")
		checkLaws(t, in, AppendInstance, UnmarshalInstance)
	})
}

// TestEventLaws checks the same for events.
func TestEventLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := events.Draw(t, "event")
		checkLaws(t, e, AppendEvent, UnmarshalEvent)
	})
}

// TestPoolsChangeNothing checks that states and events have the same encodings with reused memory as
// with new memory (ADR 0041).
func TestPoolsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states := rapid.SliceOfN(instances, 2, 4).Draw(t, "states")
		happened := rapid.SliceOfN(events, 2, 4).Draw(t, "events")
		encoded := func() (out [][]byte) {
			for _, in := range states {
				data, err := MarshalInstance(in)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, data)
			}
			for _, e := range happened {
				data, err := MarshalEvent(e)
				if err != nil {
					t.Fatal(err)
				}
				read, err := UnmarshalEvent(data)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, data, fmt.Append(nil, *read))
			}
			return out
		}
		pooled, plain := encoded(), [][]byte(nil)
		pool.Without(func() { plain = encoded() })
		if diff := cmp.Diff(plain, pooled); diff != "" {
			t.Errorf("-new memory +reused:\n%s", diff)
		}
	})
}

func checkLaws[T any](t *rapid.T, v *T, appendTo func([]byte, *T) ([]byte, error), unmarshal func([]byte) (*T, error)) {
	prefix := []byte("prefix")
	out, err := appendTo(prefix, v)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	if !bytes.HasPrefix(out, prefix) {
		t.Fatalf("the buffer's content became %q", out)
	}
	record := out[len(prefix):]
	got, err := unmarshal(record)
	if err != nil {
		t.Fatalf("unmarshal: %v", err)
	}
	if diff := cmp.Diff(v, got, same); diff != "" {
		t.Fatalf("came back different (-want +got):\n%s", diff)
	}
	again, err := appendTo(nil, got)
	if err != nil || !bytes.Equal(again, record) {
		t.Fatalf("second writing differs (%v):\n%x\n%x", err, record, again)
	}
	for i := range record { // no memory may be shared
		record[i] = 0xff
	}
	if diff := cmp.Diff(v, got, same); diff != "" {
		t.Fatalf("shares memory with the record:\n%s", diff)
	}
}

// TestEmptyIsNil checks that empty data and lists are decoded as nil.
func TestEmptyIsNil(t *testing.T) {
	in := minimal()
	in.Input, in.Steps = []byte{}, []machine.StepState{}
	record, err := MarshalInstance(in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := UnmarshalInstance(record)
	if err != nil {
		t.Fatal(err)
	}
	if got.Input != nil || got.Steps != nil {
		t.Errorf("input %#v and steps %#v, want nil", got.Input, got.Steps)
	}
}

// TestNoFieldIsForgotten checks that every struct has as many fields as its message. If you add a
// field, extend the message, the conversion and the generators of these tests.
func TestNoFieldIsForgotten(t *testing.T) {
	for _, pair := range []struct {
		domain  any
		message proto.Message
	}{
		{machine.Start{}, &amendsv1.Start{}},
		{machine.Instance{}, &amendsv1.Instance{}},
		{machine.Cause{}, &amendsv1.Cause{}},
		{machine.StepState{}, &amendsv1.StepState{}},
		{machine.Side{}, &amendsv1.Side{}},
		{machine.Event{}, &amendsv1.Event{}},
		{contract.DefinitionRef{}, &amendsv1.DefinitionRef{}},
	} {
		domain := reflect.TypeOf(pair.domain)
		message := pair.message.ProtoReflect().Descriptor()
		if domain.NumField() != message.Fields().Len() {
			t.Errorf("%v has %d fields and message %s has %d", domain, domain.NumField(), message.Name(), message.Fields().Len())
		}
	}
}
