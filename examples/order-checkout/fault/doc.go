// Package fault injects faults between the bus and a service. The service's handlers need no code
// for them.
//
//	bus ──command──▶ Bus ──▶ participant        held back · delivered twice
//	bus ◀──answer─── Bus ◀── participant        delayed · lost with the process
//
// The order selects the fault: cards whose names begin with "test-" cause faults, like the test
// cards of payment providers. The package wraps transport.Bus, so the service is unchanged.
//
// The faults behave like real ones: a crash happens between the database commit and the answer, a
// late answer comes after the coordinator's timeout, and a command that is delivered twice is on
// the bus twice.
package fault
