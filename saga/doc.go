// Package saga defines sagas: in Go (Define) or as data (New, ParseJSON). A Definition is checked,
// immutable data.
//
//	Define[Order]("checkout", …) ──▶ *Definition ──Plan──▶ *machine.Plan
//
// # Usage
//
// A definition names the commands of its steps (package contract) in the order in which they run:
//
//	var BookTrip = saga.MustDefine[Trip]("book-trip",
//		saga.Deadline(time.Hour),
//		saga.Compensable("book-room", saga.Do(BookRoom), saga.Undo(CancelRoom)),
//		saga.Pivot("take-money", saga.Do(TakeMoney)),
//		saga.Retriable("send-voucher", saga.Do(SendVoucher)))
//
// MustDefine is for package variables: it panics with all problems. Callers register the definition
// with a coordinator (client.Client.Register, server.Config.Definitions) and start sagas of it.
// Package sagatest tests it without a coordinator.
//
// # Files
//
//	define.go      Define and its parts: a definition in Go
//	spec.go        Spec: a definition as data
//	schema.go      Schema: a description of JSON data
//	parse.go       ParseJSON: a definition as JSON
//	form.go        reads a Spec from JSON, and reports all problems of its structure
//	check.go       New: checks a Spec and creates the Definition
//	walk.go        the structure of a Spec, and each step in it
//	mapping.go     the mappings of a Spec, with package mapping
//	problem.go     Problem and DefinitionError
//	definition.go  Definition, and Try
//	default.go     default timeouts and retries
//	plan.go        the form of a Definition that package machine uses
//	canonical.go   canonical JSON and the fingerprint
//	compare.go     Compare: the differences between two definitions
//	limit.go       limits of a definition
//
// Package machine executes sagas. Package contract has the terms that both ends of the bus know,
// such as kinds, directions and names.
//
// Package saga keeps its part of I10 (limits of a definition).
//
// A failure is a *DefinitionError. It lists all problems of a definition, each with its path and a
// fix.
package saga
