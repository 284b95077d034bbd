// Package sagatest tests the sagas of its users: a saga is run step by step
// against its definition alone, in virtual time, with the test in the place of
// the participants. No bus, no store, no goroutine.
//
//	given   Start(t, definition, input)
//	when    Completed, Rejected, Failed, TimesOut, Cancel …
//	then    ExpectCommands, ExpectPhase, Request, ExpectReason
//
// It is the behaviour that the coordinator runs in production, because both call
// machine.Decide. It does not test participants; package participanttest does.
//
// Failure looks like t.Fatal with the saga's history so far.
package sagatest
