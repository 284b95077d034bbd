// Package sagatest tests saga definitions. A test plays the participants, and runs a saga step by
// step against its definition. Time is virtual, and there is no bus, no store and no goroutine.
//
//	given   Start(t, definition, input)
//	when    Completed, Rejected, Failed, TimedOut, Cancel …
//	then    ExpectCommands, ExpectPhase, Request, ExpectReason
//
// The saga behaves as in the coordinator in production, because both call machine.Decide.
// Participants are tested with package participanttest instead.
//
// A failed check calls Fatalf of the test, with the saga's history so far.
package sagatest
