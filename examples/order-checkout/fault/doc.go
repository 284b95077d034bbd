// Package fault injects faults between the bus and a service, so that the service's handlers
// need no code for them.
//
//	bus ──command──▶ Bus ──▶ participant        held back · delivered twice
//	bus ◀──answer─── Bus ◀── participant        delayed · lost with the process
//
// The order selects the fault: cards whose names begin with "test-" cause faults, as the test
// cards of payment providers do. The package wraps transport.Bus; the service is unchanged.
//
// The faults behave like real ones: a crash happens after the database's commit and before the
// answer, a late answer comes after the coordinator's timeout, and a command that is delivered
// twice is on the bus twice.
package fault
