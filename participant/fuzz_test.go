package participant

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

type fuzzRequest struct {
	SKU   string           `json:"sku"`
	Count int              `json:"count"`
	More  map[string][]int `json:"more"`
}

// FuzzAnswer sends arbitrary data to a do and to an undo. A command with a reply subject is
// answered on that subject. Data that does not match the handler's types is a final failure and
// does not reach the handler.
func FuzzAnswer(f *testing.F) {
	f.Add(false, "order-1", 1, "application/json", []byte(`{"sku":"A","count":2}`))
	f.Add(true, "order-1", 2, "", []byte(`{"request":{"sku":"A"},"result":null}`))
	f.Add(true, "order-1", 2, "", []byte(`{"request":{"sku":"A"},"result":{"count":"x"}}`))
	f.Add(true, "o", 1, "text/plain; x=\"", []byte(`null`))
	f.Fuzz(func(t *testing.T, undo bool, id string, attempt int, contentType string, data []byte) {
		do := contract.NewCommand[fuzzRequest, fuzzRequest]("stock", "reserve")
		p := New("stock", new(MemoryInbox))
		called := false
		Handle(p, do, func(context.Context, *MemoryTx, fuzzRequest) (fuzzRequest, error) {
			called = true
			return fuzzRequest{}, nil
		})
		HandleUndo(p, contract.UndoOf(do, "release"), func(context.Context, *MemoryTx, contract.Undo[fuzzRequest, fuzzRequest]) error {
			called = true
			return nil
		}, UndoUnrecorded())
		key := contract.Key{Saga: contract.SagaID(id), Birth: 7, Step: "reserve", Direction: contract.DirectionDo}
		action := "reserve"
		if undo {
			key.Direction, action = contract.DirectionUndo, "release"
		}
		e := &transport.Envelope{
			Subject: transport.Subjects{}.Command("stock", action), Type: transport.TypeCommand, Saga: key.Saga, Birth: key.Birth, Step: key.Step,
			Direction: key.Direction, Attempt: attempt, ReplyTo: transport.Subjects{}.Event("stock", key, attempt), ContentType: contentType, Data: data,
		}
		answer, err := p.Answer(t.Context(), e)
		var wrong *CommandError
		switch {
		case errors.As(err, &wrong):
			if len(wrong.Reason) > 10_000 {
				t.Errorf("the reason has %d bytes", len(wrong.Reason))
			}
			return
		case err != nil:
			t.Fatal(err)
		}
		if answer.Subject != e.ReplyTo {
			t.Errorf("answered on %s, want %s", answer.Subject, e.ReplyTo)
		}
		completed := answer.Type == transport.TypeCompleted
		if called != completed || !completed && (answer.Type != transport.TypeFailed || !answer.Final && !undo) {
			t.Errorf("called %t, answered %s, final %t: %s", called, answer.Type, answer.Final, answer.Reason)
		}
		if called && !json.Valid(data) {
			t.Errorf("the handler was called with %q", data)
		}
	})
}
