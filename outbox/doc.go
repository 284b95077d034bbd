// Package outbox holds the messages that are pending for the bus, and the Relay that sends them.
//
//	Commit ──▶ records (durable) ──▶ Relay: one queue per destination ──▶ bus
//	   ▲                                │     round robin by bytes, limited by shares
//	   └── discarded on the answer ─────┘     announcements: discarded once the bus has them
//
// It keeps I1 (only committed records reach the Relay), I2 (a command is discarded when its answer
// is committed, not when the bus accepts it) and I13 (a destination that is refused, flooded or
// unavailable delays no other).
//
// It does not decide which messages are pending. A failure shows as a growing backlog, which is
// bounded and visible (Stats, Queues), and never as a lost record: after a crash, or after the bus
// has lost data, every pending record is sent again. A record that the bus refuses for good is
// reported to Options.OnRefused.
//
// The package is for whoever implements a part of the coordinator. A minor version may add methods
// to its interfaces and change its types (RELEASING.md).
package outbox
