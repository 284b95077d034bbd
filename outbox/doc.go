// Package outbox holds what is pending for the bus, and the Relay that sends it.
//
//	Commit ──▶ records (durable) ──▶ Relay: a line for each destination ──▶ bus
//	   ▲                               │     in turns by bytes, within its share
//	   └── discarded by the answer ──────┘     announcements: discarded by the bus
//
// It keeps I1 (only committed records reach the Relay), I2 (a command
// is discarded when its answer is committed, never because the bus said it has it) and
// I13 (a destination that is refused, floods or is away delays no other).
//
// It does not decide what is pending. Failure looks like a growing backlog, which
// is bounded and visible (Stats, Lines), never like a lost record: after a crash, or
// when the bus forgot, everything that is still pending is sent again. What the bus
// will never take is told to Options.OnRefused.
package outbox
