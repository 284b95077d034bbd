package sagapb

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newSide(direction contract.Direction, d machine.SideData) machine.Side {
	side, err := machine.NewSide(direction, d)
	if err != nil {
		panic(err)
	}
	return side
}

// minimal returns the smallest state that can be encoded.
func minimal() *machine.Instance {
	return &machine.Instance{
		Start:    machine.Start{ID: "order-42", Definition: contract.DefinitionRef{Name: "checkout", Version: 1}, Started: noon},
		Revision: 1,
		Phase:    contract.PhaseRunning,
		Steps:    []machine.StepState{{Do: newSide(contract.DirectionDo, machine.SideData{State: machine.SideAwaitingAnswer, Due: noon})}},
	}
}

// TestAppendInstanceRefuses checks that a state which could not be decoded is not encoded. The
// error must name the problem, and the buffer must be unchanged.
func TestAppendInstanceRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*machine.Instance){
		"saga id":                  func(in *machine.Instance) { in.ID = "a.b" },
		"definition":               func(in *machine.Instance) { in.Definition.Name = "" },
		"version 0":                func(in *machine.Instance) { in.Definition.Version = 0 },
		"revision is missing":      func(in *machine.Instance) { in.Revision = 0 },
		"time of start is missing": func(in *machine.Instance) { in.Started = time.Time{} },
		`phase "asleep"`:           func(in *machine.Instance) { in.Phase = "asleep" },
		`phase ""`:                 func(in *machine.Instance) { in.Phase = "" },
		"step 0: do 9999": func(in *machine.Instance) {
			in.Steps[0].Do = newSide(contract.DirectionDo, machine.SideData{State: machine.SideBackingOff, Due: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)})
		},
		"step 0: state 8 is not a state of": func(in *machine.Instance) {
			in.Steps[0].Do = newSide(contract.DirectionUndo, machine.SideData{State: machine.SideUndone})
		},
		"ended 1500":                      func(in *machine.Instance) { in.Ended = time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC) },
		"read as no time":                 func(in *machine.Instance) { in.Updated = time.Unix(0, 0) },
		`cause: kind of cause "bored"`:    func(in *machine.Instance) { in.Cause = &machine.Cause{Kind: "bored"} },
		`pending cause: kind of cause ""`: func(in *machine.Instance) { in.PendingCause = &machine.Cause{} },
		"257 steps: a saga has at ":       func(in *machine.Instance) { in.Steps = make([]machine.StepState, 257) },
	} {
		in := minimal()
		spoil(in)
		out, err := AppendInstance([]byte("kept"), in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
		if string(out) != "kept" {
			t.Errorf("%s: buffer became %q", want, out)
		}
	}
	if _, err := MarshalInstance(minimal()); err != nil {
		t.Errorf("the state that is spoiled above is wrong by itself: %v", err)
	}
}

// TestUnmarshalInstanceRefuses checks that damaged and incomplete records and records of later
// releases return errors that say so.
func TestUnmarshalInstanceRefuses(t *testing.T) {
	spoiled := func(spoil func(*amendsv1.Instance)) []byte {
		var m message
		in := minimal()
		if err := errors.Join(m.fillStart(&in.Start), m.fill(in)); err != nil {
			t.Fatal(err)
		}
		m.instance.Start = &m.start
		spoil(&m.instance)
		b, err := proto.Marshal(&m.instance)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1)
	for want, record := range map[string][]byte{
		"start is missing":          nil,
		"version 0":                 spoiled(func(m *amendsv1.Instance) { m.Start.Definition = nil }),
		"not a valid Instance":      []byte("\xff\xff\xff"),
		"saga id":                   spoiled(func(m *amendsv1.Instance) { m.Start.Id = "" }),
		"version -1":                spoiled(func(m *amendsv1.Instance) { m.Start.Definition.Version = -1 }),
		"revision is missing":       spoiled(func(m *amendsv1.Instance) { m.Revision = 0 }),
		"phase is missing":          spoiled(func(m *amendsv1.Instance) { m.Phase = 0 }),
		"phase 77 is not know":      spoiled(func(m *amendsv1.Instance) { m.Phase = 77 }),
		"phase -1 is not know":      spoiled(func(m *amendsv1.Instance) { m.Phase = -1 }),
		"state 2147483647":          spoiled(func(m *amendsv1.Instance) { m.Steps[0].Do.State = math.MaxInt32 }),
		"state 13 of the do":        spoiled(func(m *amendsv1.Instance) { m.Steps[0].Do.State = 13 }),
		"state 8 is not a state of": spoiled(func(m *amendsv1.Instance) { m.Steps[0].Do.State = amendsv1.SideState_SIDE_STATE_UNDONE }),
		"lacks its time": spoiled(func(m *amendsv1.Instance) {
			m.Steps[0].Do.State, m.Steps[0].Do.AtUnixNano = amendsv1.SideState_SIDE_STATE_PARKED_UNKNOWN, 0
		}),
		"does not belong":          spoiled(func(m *amendsv1.Instance) { m.Steps[0].Do.State = amendsv1.SideState_SIDE_STATE_DONE }),
		"kind of cause is missing": spoiled(func(m *amendsv1.Instance) { m.PendingCause = &amendsv1.Cause{} }),
		"time of start":            spoiled(func(m *amendsv1.Instance) { m.Start.StartedUnixNano = 0 }),
		"5000 steps":               spoiled(func(m *amendsv1.Instance) { m.Steps = repeat(&amendsv1.StepState{}, 5000) }),
		"later release":            append(spoiled(func(*amendsv1.Instance) {}), unknown...),
		"a later release": spoiled(func(m *amendsv1.Instance) {
			m.Steps[0].ProtoReflect().SetUnknown(unknown)
		}),
	} {
		if in, err := UnmarshalInstance(record); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v and %v", want, err, in)
		}
	}
	if _, err := UnmarshalInstance(append(spoiled(func(*amendsv1.Instance) {}), unknown...)); !errors.Is(err, protoconv.ErrLater) {
		t.Errorf("an unknown field gives %v, want ErrLater", err)
	}
}

func repeat[T any](v T, n int) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = v
	}
	return list
}

// TestEventRefuses checks the same for events, in both directions.
func TestEventRefuses(t *testing.T) {
	for want, e := range map[string]machine.Event{
		"time is missing":              {Type: contract.EventTimerFired},
		`type of event ""`:             {At: noon},
		`type of event "dreamt"`:       {At: noon, Type: "dreamt"},
		`direction "sideways"`:         {At: noon, Type: contract.EventStepAnswered, Direction: "sideways"},
		`outcome "perhaps"`:            {At: noon, Type: contract.EventStepAnswered, Outcome: "perhaps"},
		`operation "shrug" is not one`: {At: noon, Type: contract.EventOperationTaken, Operation: "shrug"},
	} {
		out, err := AppendEvent([]byte("kept"), &e)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
		if string(out) != "kept" {
			t.Errorf("%s: buffer became %q", want, out)
		}
	}
	for want, m := range map[string]*amendsv1.Event{
		"time is missing":          {Type: 1},
		"type of event is missing": {AtUnixNano: 1},
		"type of event 9":          {AtUnixNano: 1, Type: 9},
		"direction 3":              {AtUnixNano: 1, Type: 2, Direction: 3},
		"outcome 9":                {AtUnixNano: 1, Type: 2, Outcome: 9},
		"operation 9":              {AtUnixNano: 1, Type: 4, Operation: 9},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := UnmarshalEvent(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v and %v", want, err, e)
		}
	}
}

// FuzzUnmarshalInstance checks that arbitrary bytes never cause a panic, and that a decoded state
// can be encoded and decoded again with the same result.
func FuzzUnmarshalInstance(f *testing.F) {
	in := minimal()
	in.Cause = &machine.Cause{Kind: machine.CauseRejected, Step: "pay", Reason: "card declined", At: noon}
	record, err := MarshalInstance(in)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add(record[:len(record)-3])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte("\x82\x01\x00"), 300)) // empty steps
	f.Fuzz(func(t *testing.T, record []byte) {
		in, err := UnmarshalInstance(record)
		if err != nil {
			return
		}
		first, err := MarshalInstance(in)
		if err != nil {
			t.Fatalf("was read and cannot be written: %v", err)
		}
		again, err := UnmarshalInstance(first)
		if err != nil {
			t.Fatalf("was written and cannot be read: %v", err)
		}
		second, err := MarshalInstance(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v:\n%x\n%x", err, first, second)
		}
	})
}

// FuzzUnmarshalEvent checks the same for events.
func FuzzUnmarshalEvent(f *testing.F) {
	record, err := MarshalEvent(&machine.Event{Type: contract.EventStepAnswered, At: noon, Participant: "payment", Step: "pay",
		Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeFailed, Reason: "timeout"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add(record[1:])
	f.Fuzz(func(t *testing.T, record []byte) {
		e, err := UnmarshalEvent(record)
		if err != nil {
			return
		}
		first, err := MarshalEvent(e)
		if err != nil {
			t.Fatalf("was read and cannot be written: %v", err)
		}
		if _, err := UnmarshalEvent(first); err != nil {
			t.Fatalf("was written and cannot be read: %v", err)
		}
	})
}

// TestMemoryIsUsedAgainSafely checks that a refused state or event leaves no data in the next one,
// and that decoding a value does not change the previous result.
func TestMemoryIsUsedAgainSafely(t *testing.T) {
	want, err := MarshalInstance(minimal())
	if err != nil {
		t.Fatal(err)
	}
	event := machine.Event{Type: contract.EventStarted, At: minimal().Started, ID: "o-1", Payload: []byte(`{"n":1}`)}
	kept, err := MarshalEvent(&event)
	if err != nil {
		t.Fatal(err)
	}
	read, err := UnmarshalEvent(kept)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		for _, spoil := range []func(*machine.Instance){
			func(in *machine.Instance) { in.ID = "" },
			func(in *machine.Instance) {
				in.Steps = append(in.Steps, machine.StepState{Do: newSide(contract.DirectionUndo, machine.SideData{State: machine.SideUndone})})
			},
			func(in *machine.Instance) { in.Steps = make([]machine.StepState, machine.MaxSteps+1) },
		} {
			bad := minimal()
			spoil(bad)
			if _, err := MarshalInstance(bad); err == nil {
				t.Fatalf("%+v was written down", bad)
			}
			if got, err := MarshalInstance(minimal()); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("after a refused state: %x, %v; before: %x", got, err, want)
			}
		}
		other := machine.Event{Type: contract.EventStepAnswered, At: event.At, Payload: []byte(`[2,3,4]`), Reason: "another"}
		if b, err := MarshalEvent(&other); err != nil {
			t.Fatal(err)
		} else if _, err := UnmarshalEvent(b); err != nil {
			t.Fatal(err)
		}
		if _, err := MarshalEvent(&machine.Event{Type: contract.EventStarted, Reason: "no time"}); err == nil {
			t.Fatal("an event without a time was written down")
		}
		if got, err := MarshalEvent(read); err != nil || !bytes.Equal(got, kept) {
			t.Fatalf("what was read has become %x, %v; it was %x", got, err, kept)
		}
	}
}
