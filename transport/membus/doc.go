// Package membus is a transport.Bus in memory: for tests, for simulation, and for
// a coordinator and participants that live in one process and need no durability.
//
//	Publish ──▶ Fault (drop, duplicate, delay, reorder) ──▶ streams ──▶ consumers ──▶ Receive
//	                                                          ▲                         │
//	                                                          └── Nak, AckWait passed ──┘
//
// It behaves like the JetStream bus in what matters to coordinator and participants: work queues,
// durable names that several sources share, AckWait, delayed Nak, a deduplication window, a bound
// on messages in flight, dead letters.
//
// It has one lock and no goroutine of its own. Time comes from Options.Now or from the time
// package, so it works inside testing/synctest. A program that runs every step in one goroutine
// uses Source.TryReceive and Bus.NextDue and never blocks.
//
// Nothing outlives the process. Failures look as on a real bus: an error per envelope, a
// redelivery, or a loss that Resets signals.
package membus
