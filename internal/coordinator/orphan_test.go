package coordinator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// An operator must look at an effect that its saga will neither request again nor undo.
func TestOrphansOfASagaThatIsKnown(t *testing.T) {
	def, err := saga.ParseJSON([]byte(`{"name":"shop","version":1,"steps":[
		{"step":{"name":"reserve","kind":"compensable","do":{"participant":"p","action":"a"},"undo":{"participant":"p","action":"b"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	cause := &machine.Cause{Kind: machine.CauseCancelled, At: noon}
	for _, c := range []struct {
		status contract.StepStatus
		back   bool // whether the saga compensates
		do     api.OrphanKind
		undo   api.OrphanKind
	}{
		{contract.StepPending, false, api.OrphanNotDone, ""},
		{contract.StepPending, true, api.OrphanNotDone, ""},
		{contract.StepDoing, false, "", ""},
		{contract.StepDoing, true, "", ""},
		{contract.StepDone, false, "", api.OrphanNotUndone},
		{contract.StepDone, true, "", ""},
		{contract.StepRejected, false, api.OrphanNotDone, ""},
		{contract.StepRejected, true, api.OrphanNotDone, ""},
		{contract.StepUnknown, true, "", ""},
		{contract.StepUndoing, true, "", ""},
		{contract.StepUndone, true, "", ""},
		{contract.StepSkipped, false, "", ""},
		{contract.StepSkipped, true, "", ""},
	} {
		in := &machine.Instance{Start: machine.Start{ID: "a", Definition: def.Ref(), Started: noon}, Phase: contract.PhaseRunning, Steps: []machine.StepState{stepOf(t, c.status)}}
		if c.back {
			in.Phase, in.Cause = contract.PhaseCompensating, cause
		}
		for direction, want := range map[contract.Direction]api.OrphanKind{contract.DirectionDo: c.do, contract.DirectionUndo: c.undo} {
			kind := api.OrphanKind("")
			o := orphanOf(def, in, contract.Key{Saga: "a", Birth: in.Birth(), Step: "reserve", Direction: direction})
			if o != nil {
				kind = o.Kind
			}
			if kind != want || o != nil && (o.Status != c.status || o.Phase != in.Phase || !strings.Contains(o.Found, string(c.status))) {
				t.Errorf("%s of a step that is %s (going back: %t): %+v, want %q", direction, c.status, c.back, o, want)
			}
		}
	}
}

// The error of an invalid request names the key; a valid request is answered in order.
func TestOrphansRequest(t *testing.T) {
	bus := membus.New(membus.Options{})
	defer bus.Close()
	c, err := New(Config{Store: memstore.New(), Bus: bus})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.definitions.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask := func(data string) *transport.Envelope {
		return c.Handle(t.Context(), api.MethodFindOrphans, &transport.Envelope{Data: []byte(data)})
	}
	key := func(n int) string { return fmt.Sprintf("order-%d/hod85snpc0/reserve/do", n) }
	many := make([]string, api.MaxOrphanKeys+1)
	for i := range many {
		many[i] = `"` + key(i) + `"`
	}
	list := func(keys []string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	for data, want := range map[string]string{
		"": "1 to 500", "{}": "1 to 500", `{"keys":[]}`: "1 to 500", list(many): "contains 501", `{"keys":["` + key(1) + `","order-42/reserve/do"]}`: "keys[1]: key ",
		`{"keys":["order-42/0hod85snpc0/reserve/do"]}`: "keys[0]: birth ", `{"key":"x"}`: "key: is unknown", `[`: "", `{"keys":"x"}`: "keys",
	} {
		if reply := ask(data); api.Code(reply.Code) != api.CodeInvalidArgument || !strings.Contains(reply.Reason, want) || len(reply.Reason) > 1000 {
			t.Errorf("%.80s: %s %.300s, want %q", data, reply.Code, reply.Reason, want)
		}
	}
	reply := ask(list(many[1:]))
	if reply.Code != "" || len(reply.Data) > maxReply {
		t.Fatalf("%s %s: %d bytes", reply.Code, reply.Reason, len(reply.Data))
	}
	at := 0
	for i := 1; i < len(many); i++ {
		next := strings.Index(string(reply.Data[at:]), `"key":`+many[i])
		if next < 0 {
			t.Fatalf("%s is not told of, or out of order", many[i])
		}
		at += next
	}
}

// stepOf returns a step with a status.
func stepOf(t *testing.T, status contract.StepStatus) (s machine.StepState) {
	do := map[contract.StepStatus]machine.SideState{
		contract.StepPending: machine.SideIdle, contract.StepDoing: machine.SideAwaitingAnswer, contract.StepRejected: machine.SideRejected, contract.StepUnknown: machine.SideUnknown, contract.StepSkipped: machine.SideSkipped,
		contract.StepDone: machine.SideDone, contract.StepUndoing: machine.SideDone, contract.StepUndone: machine.SideDone,
	}
	undo := map[contract.StepStatus]machine.SideState{contract.StepUndoing: machine.SideAwaitingAnswer, contract.StepUndone: machine.SideUndone}
	s.Do, s.Undo = newSide(t, contract.DirectionDo, machine.SideData{State: do[status]}), newSide(t, contract.DirectionUndo, machine.SideData{State: undo[status]})
	if s.Status() != status {
		t.Fatalf("it is %s, not %s", s.Status(), status)
	}
	return s
}
