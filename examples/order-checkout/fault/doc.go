// Package fault makes things go wrong on the way between the bus and a service,
// so that the service's handlers need not know.
//
//	bus ──command──▶ Bus ──▶ participant        held back · delivered twice
//	bus ◀──answer─── Bus ◀── participant        delayed · lost with the process
//
// What goes wrong is written in the order: cards whose names begin with "test-"
// provoke faults, as the test cards of payment providers do. It wraps
// transport.Bus; a service without it is the same service.
//
// The faults are real as far as anybody can see: a crash happens after the
// database's commit and before the answer, an answer that is late comes after
// the coordinator has stopped waiting, and a command that is delivered twice is
// twice on the bus.
//
// Failure is its purpose.
package fault
