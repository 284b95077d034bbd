// Package outbox holds what is pending for the bus, and the Relay that sends it.
//
//	Commit ──▶ records (durable) ──▶ Relay: one queue per destination ──▶ bus
//	   ▲                                │     round robin by bytes, limited by shares
//	   └── discarded on the answer ─────┘     announcements: discarded once the bus has them
//
// It keeps I1 (only committed records reach the Relay), I2 (a command is discarded when its answer
// is committed, not when the bus accepts it) and I13 (a destination that is refused, flooded or
// away delays no other).
//
// It does not decide what is pending. A failure shows as a growing backlog, which is bounded and
// visible (Stats, Queues), and never as a lost record: after a crash, or after the bus has lost
// data, everything still pending is sent again. A record that the bus refuses for good is reported
// to Options.OnRefused.
package outbox
