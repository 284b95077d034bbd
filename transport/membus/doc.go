// Package membus is a transport.Bus in memory: for tests, for simulation, and for
// a coordinator and participants that live in one process and need no durability.
//
//	Publish ──▶ Fault (drop, duplicate, delay, reorder) ──▶ streams ──▶ consumers ──▶ Receive
//	                                                          ▲                         │
//	                                                          └── Nak, AckWait passed ──┘
//
// It behaves like the JetStream bus where that matters to the two ends: work
// queues, durable names that several sources share, AckWait, delayed Nak, a
// window of deduplication, a bound on what is in flight, dead letters.
//
// It has no goroutine of its own and one lock. Time comes from Options.Now, or
// from the time package, so it can be used inside testing/synctest. A program
// that steps everything itself in one goroutine uses Source.TryReceive and
// Bus.NextDue and never blocks.
//
// It does not keep anything beyond the process. Failure looks as on a real bus:
// an error per envelope, a delivery that comes again, or a loss that Resets
// signals.
package membus
