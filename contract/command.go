package contract

import "reflect"

// Command is an action of a participant with the types that travel: Req in the
// command, Res in the answer. Declare it once, in a package that both the
// participant and the definition import:
//
//	var ReserveStock = contract.NewCommand[Reserve, Reserved]("inventory", "reserve-stock")
//	var ReleaseStock = contract.UndoOf(ReserveStock, "release-stock")
//
// A name that is not allowed is reported where the command is used: by
// saga.Define and by participant.New's Run.
type Command[Req, Res any] struct {
	participant, action string
}

// NewCommand declares that a participant offers an action.
func NewCommand[Req, Res any](participant, action string) Command[Req, Res] {
	return Command[Req, Res]{participant, action}
}

// Participant is the service that answers.
func (c Command[Req, Res]) Participant() string { return c.participant }

// Action is the name of the action at that participant.
func (c Command[Req, Res]) Action() string { return c.action }

// RequestType is the Go type of the command's data.
func (c Command[Req, Res]) RequestType() reflect.Type { return reflect.TypeFor[Req]() }

// ResultType is the Go type of the data of a completed answer.
func (c Command[Req, Res]) ResultType() reflect.Type { return reflect.TypeFor[Res]() }

// UndoCommand is the action that takes back what a Command did.
type UndoCommand[Req, Res any] struct {
	participant, action string
}

// UndoOf declares the action that takes back what c did, at the same
// participant.
func UndoOf[Req, Res any](c Command[Req, Res], action string) UndoCommand[Req, Res] {
	return UndoCommand[Req, Res]{c.participant, action}
}

// Participant is the service that answers.
func (u UndoCommand[Req, Res]) Participant() string { return u.participant }

// Action is the name of the action at that participant.
func (u UndoCommand[Req, Res]) Action() string { return u.action }

// RequestType is the Go type of the request of the do that is taken back.
func (u UndoCommand[Req, Res]) RequestType() reflect.Type { return reflect.TypeFor[Req]() }

// ResultType is the Go type of the result of the do that is taken back.
func (u UndoCommand[Req, Res]) ResultType() reflect.Type { return reflect.TypeFor[Res]() }

// Undo is the data of an undo command: what the do was asked and, where known,
// what it answered. On the wire it is {"request": …, "result": …}.
type Undo[Req, Res any] struct {
	Request Req  `json:"request"`
	Result  *Res `json:"result"` // nil when the do's outcome is unknown to the coordinator and to the inbox
}
