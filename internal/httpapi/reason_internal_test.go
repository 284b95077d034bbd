package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/api"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// teller is a coordinator with one saga.
type teller struct {
	asked int
	input string
	fails error
}

func (c *teller) Serve(_ context.Context, method string, _ *transport.Envelope, request any) (any, error) {
	c.asked++
	if r, ok := request.(*api.GetRequest); c.fails != nil || method != api.MethodGet || !ok || r.ID != "order-1" {
		return nil, &api.Error{Code: api.CodeUnavailable, Reason: "not now"}
	}
	return &api.GetResponse{Saga: &api.Saga{ID: "order-1", Input: &api.Payload{JSON: json.RawMessage(c.input)}, Steps: []api.Step{{Name: "charge"}}}}, nil
}

// TestRedactedReasons checks that values of redacted fields that appear verbatim in reasons are
// redacted.
func TestRedactedReasons(t *testing.T) {
	r := newRedaction([]string{"card", "CVC"}, nil)
	const input = `{"card":"4111-1111","cvc":123,"name":"ada","more":[{"card":{"no":"5500 \"x\"","ok":true}}],"amount":4711}`
	for in, want := range map[string]string{
		"card 4111-1111 was declined, 4111-1111 twice": "card [redacted] was declined, [redacted] twice",
		"x4111-1111y":                           "x[redacted]y",
		"cvc 123 is wrong":                      "cvc [redacted] is wrong",
		"order 1234 and 0123 and x123":          "order 1234 and 0123 and x123",
		"ada owes 4711":                         "ada owes 4711",
		`5500 "x" and "5500 \"x\""`:             `[redacted] and "[redacted]"`,
		`{"card":"77","why":"4111-1111"}`:       `{"card":"[redacted]","why":"[redacted]"}`,
		`not sent: {"card": "77", "why": "no"}`: `not sent: {"card": "[redacted]", "why": "no"}`,
		strings.Repeat("a", 20) + " 4111-1…":    strings.Repeat("a", 20) + " [redacted]…",
		strings.Repeat("a", 20) + " 4…":         strings.Repeat("a", 20) + " 4…",
		"true":                                  "true",
		"":                                      "",
	} {
		m := &apiv1.Saga{
			Input: &apiv1.Payload{Json: input}, Reason: in, Paused: &apiv1.Pause{Reason: in},
			Steps: []*apiv1.Step{{Reason: in}, {Result: &apiv1.Payload{Json: "{}"}}},
		}
		r.message(t.Context(), nil, &apiv1.GetResponse{Saga: m})
		for _, got := range []string{m.Reason, m.Paused.Reason, m.Steps[0].Reason} {
			if got != want {
				t.Errorf("%s: %s, want %s", in, got, want)
			}
		}
	}
}

// TestRedactedReasonsOfPayloads checks that values in results are searched for too. If a payload
// cannot be searched, no reason is shown.
func TestRedactedReasonsOfPayloads(t *testing.T) {
	r := newRedaction([]string{"card"}, nil)
	for name, tt := range map[string]struct {
		input, result *apiv1.Payload
		want          string
	}{
		"a result":           {&apiv1.Payload{Json: "{}"}, &apiv1.Payload{Json: `{"card":"4111-1111"}`}, "no: [redacted]"},
		"no input":           {nil, &apiv1.Payload{Json: `{"card":"4111-1111"}`}, Redacted},
		"not JSON":           {&apiv1.Payload{Json: "card=4111-1111"}, nil, Redacted},
		"bytes":              {&apiv1.Payload{Binary: []byte("4111-1111")}, nil, Redacted},
		"a result not JSON":  {&apiv1.Payload{Json: "{}"}, &apiv1.Payload{Json: "4111-1111 x"}, Redacted},
		"a result left out":  {&apiv1.Payload{Json: "{}"}, &apiv1.Payload{LeftOut: true}, Redacted},
		"nothing is secret":  {&apiv1.Payload{Json: `{"a":"4111-1111"}`}, nil, "no: 4111-1111"},
		"an input of spaces": {&apiv1.Payload{Json: " "}, nil, "no: 4111-1111"},
	} {
		m := &apiv1.Saga{Input: tt.input, Reason: "no: 4111-1111", Steps: []*apiv1.Step{{Result: tt.result}}}
		if r.message(t.Context(), nil, m); m.Reason != tt.want {
			t.Errorf("%s: %s, want %s", name, m.Reason, tt.want)
		}
	}
}

// TestRedactedReasonsElsewhere checks lists, streams and histories. They have no payloads, so the
// coordinator is asked for them. If it does not answer, no reason is shown.
func TestRedactedReasonsElsewhere(t *testing.T) {
	const reason = "card 4111-1111 declined"
	for _, fails := range []error{nil, errors.New("not now")} {
		c := &teller{input: `{"card":"4111-1111"}`, fails: fails}
		r := newRedaction([]string{"card"}, c)
		want := "card [redacted] declined"
		if fails != nil {
			want = Redacted
		}
		list := &apiv1.ListResponse{Sagas: []*apiv1.Saga{{Id: "order-1", Reason: reason}, {Id: "order-2"}}}
		r.message(t.Context(), &apiv1.ListRequest{}, list)
		moved := &apiv1.WatchResponse{Saga: &apiv1.Saga{Id: "order-1", Reason: reason}}
		r.message(t.Context(), nil, moved)
		history := &apiv1.HistoryResponse{Events: []*apiv1.Event{{Reason: reason}, {Payload: &apiv1.Payload{Json: `{"card":"5500-0000"}`}}, {Reason: "5500-0000"}, {}}}
		r.message(t.Context(), &apiv1.HistoryRequest{Id: "order-1"}, history)
		for what, got := range map[string]string{"list": list.Sagas[0].Reason, "watch": moved.Saga.Reason, "history": history.Events[0].Reason} {
			if got != want {
				t.Errorf("%s, %v: %s, want %s", what, fails, got, want)
			}
		}
		if got := history.Events[2].Reason; got != Redacted {
			t.Errorf("a value of an event: %s", got)
		}
		if list.Sagas[1].Reason != "" || history.Events[3].Reason != "" {
			t.Error("what has no reason has one now")
		}
		if c.asked != 3 {
			t.Errorf("the coordinator was asked %d times, want once for each saga that has a reason", c.asked)
		}
	}
	letter := &apiv1.DeadLetter{Headers: []*apiv1.Header{{Name: "Ce-Reason", Values: []string{reason}}, {Name: "dead-header-block", Values: []string{reason}}, {Name: "ce-type", Values: []string{"x"}}}}
	newRedaction([]string{"card"}, nil).message(t.Context(), nil, &apiv1.ListDeadLettersResponse{DeadLetters: []*apiv1.DeadLetter{letter}})
	for _, h := range letter.Headers {
		if shown := h.Values[0]; (shown == Redacted) != (h.Name != "ce-type") {
			t.Errorf("header %s of a dead letter: %s", h.Name, shown)
		}
	}
}

// TestRedactedReasonsLaw checks that a secret that is long enough appears in no shown reason,
// whatever the surrounding text.
func TestRedactedReasonsLaw(t *testing.T) {
	r := newRedaction([]string{"card"}, nil)
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-z0-9" \\\\é-]{6,12}`)
		first, second := word.Draw(t, "first"), word.Draw(t, "second")
		input, err := json.Marshal(map[string]any{"x": []any{map[string]any{"Card": first}}, "card": map[string]string{"y": second}})
		if err != nil {
			t.Fatal(err)
		}
		quoted, err := json.Marshal(map[string]string{"why": first})
		if err != nil {
			t.Fatal(err)
		}
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{first, second, "a", " ", "declined", string(quoted), "…", first[:4]}), 1, 6).Draw(t, "parts")
		m := &apiv1.Saga{Input: &apiv1.Payload{Json: string(input)}, Reason: strings.Join(parts, ""), Steps: []*apiv1.Step{{}}}
		before := m.Reason
		r.message(t.Context(), nil, m)
		for _, secret := range []string{first, second} {
			if strings.Contains(m.Reason, secret) {
				t.Fatalf("%q, from %q with %s", m.Reason, before, input)
			}
		}
	})
}
