package coordinator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

// large returns a saga with the given numbers of steps and sizes of results and reasons.
func large(t *testing.T, steps, result, reason int, input []byte, contentType string) (*saga.Definition, *machine.Instance) {
	t.Helper()
	var text strings.Builder
	for i := range steps {
		fmt.Fprintf(&text, `,{"step":{"name":"s%063d","kind":"compensable","do":{"participant":"p%063d","action":"a%063d"},"undo":{"participant":"p%063d","action":"b%063d"}}}`, i, i, i, i, i)
	}
	def, err := saga.ParseJSON([]byte(`{"name":"n` + strings.Repeat("x", 63) + `","version":1,"steps":[` + text.String()[1:] + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)
	odd := strings.Repeat("\u0001", reason)
	in := &machine.Instance{
		Start: machine.Start{
			ID: contract.SagaID(strings.Repeat("i", 128)), Definition: def.Ref(),
			Input: input, ContentType: contentType, Started: now,
		},
		Phase: contract.PhaseParked, Revision: 1 << 40,
		Updated: now, Deadline: now, Paused: &machine.Pause{At: now, By: odd, Reason: odd},
		Steps: make([]machine.StepState, steps),
	}
	for i := range in.Steps {
		in.Steps[i].Undo = newSide(t, contract.DirectionUndo, machine.SideData{State: machine.SideParkedUnknown, Attempt: 9999, MaxAttempt: 10_000, Parked: now, Reason: odd})
		if result > 2 {
			in.Steps[i].Result = []byte(`"` + strings.Repeat("<", result-2) + `"`)
		}
	}
	return def, in
}

// sent returns the encoding of a value in a reply by encoding/json.
func sent(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestStatusFits checks that the encoded status of a saga of any size fits a bus message. A status
// that fits is complete; a shortened one says what is left out (I10, I12).
func TestStatusFits(t *testing.T) {
	const carried = 661_461 - 16_384 - 1024 // see docs/WIRE.md
	quotes := []byte(`["` + strings.Repeat(`",`+`"`, (contract.MaxPayload-4)/3) + `"]`)
	octets := bytes.Repeat([]byte{0xff}, contract.MaxPayload)
	for name, tt := range map[string]struct {
		steps, result, reason int
		input                 []byte
		contentType           string
		whole                 bool
	}{
		"small":                   {4, 1000, 100, []byte(`{"a":1}`), "", true},
		"one large result":        {1, contract.MaxPayload, 1024, quotes, "", true},
		"bytes":                   {1, 200_000, 1024, octets, "text/plain", true},
		"many results":            {16, contract.MaxPayload, 100, quotes, "", false},
		"many reasons":            {256, 0, 1024, []byte(`{}`), "", false},
		"as much as there may be": {256, 16 << 10, 1024, octets, "text/plain", false},
	} {
		def, in := large(t, tt.steps, tt.result, tt.reason, tt.input, tt.contentType)
		s := status(def, in, true)
		if data := sent(t, s); len(data) > carried {
			t.Errorf("%s: %d bytes", name, len(data))
		}
		if !json.Valid(sent(t, s)) {
			t.Errorf("%s: is no JSON", name)
		}
		whole := !s.Input.LeftOut
		for i := range s.Steps {
			step, state := &s.Steps[i], &in.Steps[i]
			shown := step.Result
			if shown == nil {
				shown = &api.Payload{}
			}
			if shown.LeftOut == (string(shown.JSON) == string(state.Result)) && len(state.Result) > 0 || shown.SizeBytes != len(state.Result) || !strings.HasPrefix(state.Current().Reason(), strings.TrimSuffix(step.Reason, "…")) {
				t.Errorf("%s: step %d has %.60q (left out: %t) of %d bytes, and the reason %.20q…", name, i, shown.JSON, shown.LeftOut, shown.SizeBytes, step.Reason)
			}
			whole = whole && !shown.LeftOut && step.Reason == state.Current().Reason()
		}
		if whole != tt.whole {
			t.Errorf("%s: it is whole: %t", name, whole)
		}

		p := past{def: def, in: *in}
		event := historyEvent(7, &machine.Event{Type: contract.EventStarted, Payload: tt.input, ContentType: tt.contentType, By: in.Paused.By, Reason: in.Paused.Reason})
		p.show(&event)
		if data := sent(t, api.HistoryResponse{Events: []api.Event{event}}); len(data) > carried || event.Saga == nil || len(event.Payload.JSON)+len(event.Payload.Binary) < len(tt.input) {
			t.Errorf("%s: an event with where the saga stood has %d bytes", name, len(data))
		}
	}
}

// TestOthersFit checks that sagas in lists and watches are shortened, so that a whole page of a
// watch fits. Dead letters leave out data that does not fit.
func TestOthersFit(t *testing.T) {
	def, in := large(t, 1, 0, 1024, nil, "")
	in.Cause = &machine.Cause{Kind: machine.CauseOperator, By: in.Paused.By, Reason: in.Paused.Reason}
	s := status(def, in, false)
	inList(s)
	if n := len(sent(t, api.ChangedSaga{Saga: s, Left: true})) * watchSagas; n > maxReply-frameRoom {
		t.Errorf("a watch may have %d bytes", n)
	}
	letter := deadLetterReply(&transport.DeadLetter{
		Sequence: 1, Subject: "saga.\xff", Reason: strings.Repeat("\x01", 16<<10), Data: bytes.Repeat([]byte{1}, transport.MaxData),
		Header: map[string][]string{"\xfe": {strings.Repeat("\xff", 16<<10)}},
	})
	if n := len(sent(t, letter)); n > maxReply || !letter.Data.LeftOut || letter.Data.SizeBytes != transport.MaxData {
		t.Errorf("a dead letter has %d bytes: %+.200v", n, letter)
	}
	if long := sendable(&transport.Envelope{Data: make([]byte, maxReply+1)}); long.Code != string(api.CodeResourceExhausted) || len(long.Data) > 0 {
		t.Errorf("what no bus carries is sent: %s, %d bytes", long.Code, len(long.Data))
	}
}

func newSide(t *testing.T, direction contract.Direction, d machine.SideData) machine.Side {
	t.Helper()
	side, err := machine.NewSide(direction, d)
	if err != nil {
		t.Fatal(err)
	}
	return side
}
