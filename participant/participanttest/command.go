package participanttest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// NewCommand returns a command as a coordinator sends it, for Participant.Answer. It is the first
// attempt of a step in a new saga. Passing the same Envelope again simulates a redelivery.
// NewCommand panics if the request cannot be encoded as JSON.
func NewCommand[Req, Res any](c contract.Command[Req, Res], request Req) *transport.Envelope {
	data, contentType, err := encode(request)
	if err != nil {
		panic(err)
	}
	key := contract.Key{Saga: contract.SagaID("test-" + uuid.NewString()), Birth: contract.BirthOf(time.Now()), Step: "step-under-test", Direction: contract.DirectionDo}
	e := command("", c.Participant(), c.Action(), key, 1)
	e.Data, e.ContentType = data, contentType
	return e
}

// NewUndo returns the command that undoes a do. answer is the answer to the do, or nil if the
// coordinator does not know it.
func NewUndo[Req, Res any](c contract.UndoCommand[Req, Res], do, answer *transport.Envelope) *transport.Envelope {
	key := do.Key()
	key.Direction = contract.DirectionUndo
	e := command("", c.Participant(), c.Action(), key, 1)
	var result *transport.Envelope
	if answer != nil && answer.Type == transport.TypeCompleted {
		result = answer
	}
	data, err := undoData(do, result)
	if err != nil {
		panic(err)
	}
	e.Data = data
	return e
}

// command returns a command without data.
func command(prefix, participant, action string, key contract.Key, attempt int) *transport.Envelope {
	subjects := transport.Subjects{Prefix: prefix}
	return &transport.Envelope{
		Subject:   subjects.Command(participant, action),
		ID:        transport.CommandID(key, attempt),
		Source:    "/amends/participanttest",
		Type:      transport.TypeCommand,
		Saga:      key.Saga,
		Birth:     key.Birth,
		Step:      key.Step,
		Direction: key.Direction,
		Attempt:   attempt,
		ReplyTo:   subjects.Event(participant, key, attempt),
	}
}

func encode(v any) (data []byte, contentType string, err error) {
	switch v := v.(type) {
	case []byte:
		return v, "application/octet-stream", nil
	case json.RawMessage:
		return v, transport.JSON, nil
	}
	data, err = contract.EncodeJSON(v)
	if err != nil {
		return nil, "", fmt.Errorf("encode the request: %w", err)
	}
	return data, transport.JSON, nil
}

// undoData returns the data that the coordinator sends to an undo. Bytes that are not JSON are sent
// as a base64 string.
func undoData(do, answer *transport.Envelope) ([]byte, error) {
	within := func(e *transport.Envelope) any {
		switch {
		case e == nil || len(e.Data) == 0:
			return nil
		case contract.IsJSON(e.ContentType):
			return json.RawMessage(e.Data)
		}
		return e.Data
	}
	data, err := contract.EncodeJSON(map[string]any{"request": within(do), "result": within(answer)})
	if err != nil {
		return nil, fmt.Errorf("encode the undo: %w", err)
	}
	return data, nil
}
