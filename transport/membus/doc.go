// Package membus is a transport.Bus in memory. It is for tests, for simulations, and for a
// coordinator and participants in one process that need no durability.
//
//	Publish ──▶ Fault (drop, duplicate, delay, reorder) ──▶ streams ──▶ consumers ──▶ Receive
//	                                                          ▲                         │
//	                                                          └── Nak, AckWait passed ──┘
//
// For coordinator and participants, it behaves like the JetStream bus. It has work queues, durable
// names shared by several sources, AckWait, delayed Nak, a deduplication window, a limit on
// messages in flight, and dead letters.
//
// It has a single lock and no goroutines. Time comes from Options.Now or from the time package, so
// it works in testing/synctest. A program that runs every step in one goroutine uses
// Source.TryReceive and Bus.NextDue, which never block.
//
// Nothing survives the process. Failures look as on a real bus: Publish returns an error per
// envelope, a message is redelivered, or Resets signals a loss.
package membus
