package contract

import "reflect"

// Command describes an action of a participant, with the Go types of its request (Req) and result
// (Res). Declare it once, in a package that both the participant and the definition import:
//
//	var ReserveStock = contract.NewCommand[Reserve, Reserved]("inventory", "reserve-stock")
//	var ReleaseStock = contract.UndoOf(ReserveStock, "release-stock")
//
// An invalid name is reported where the command is used: by saga.Define and by the participant's
// Run.
type Command[Req, Res any] struct {
	participant, action string
}

// NewCommand declares that a participant offers an action.
func NewCommand[Req, Res any](participant, action string) Command[Req, Res] {
	return Command[Req, Res]{participant, action}
}

// Participant returns the name of the participant.
func (c Command[Req, Res]) Participant() string { return c.participant }

// Action returns the name of the action.
func (c Command[Req, Res]) Action() string { return c.action }

// RequestType returns the Go type of the command's data.
func (c Command[Req, Res]) RequestType() reflect.Type { return reflect.TypeFor[Req]() }

// ResultType returns the Go type of a completed answer's data.
func (c Command[Req, Res]) ResultType() reflect.Type { return reflect.TypeFor[Res]() }

// UndoCommand describes the action that compensates a Command.
type UndoCommand[Req, Res any] struct {
	participant, action string
}

// UndoOf declares the action that compensates c. The action belongs to the participant of c.
func UndoOf[Req, Res any](c Command[Req, Res], action string) UndoCommand[Req, Res] {
	return UndoCommand[Req, Res]{c.participant, action}
}

// Participant returns the name of the participant.
func (u UndoCommand[Req, Res]) Participant() string { return u.participant }

// Action returns the name of the action.
func (u UndoCommand[Req, Res]) Action() string { return u.action }

// RequestType returns the Go type of the do's request.
func (u UndoCommand[Req, Res]) RequestType() reflect.Type { return reflect.TypeFor[Req]() }

// ResultType returns the Go type of the do's result.
func (u UndoCommand[Req, Res]) ResultType() reflect.Type { return reflect.TypeFor[Res]() }

// Undo holds the data of an undo command: the do's request and, if known, the do's result. On the
// wire it is {"request": …, "result": …}.
type Undo[Req, Res any] struct {
	Request Req  `json:"request"`
	Result  *Res `json:"result"` // nil if neither the coordinator nor the inbox knows it
}
