// Package ownership makes sure that only one store acts for a prefix (I11).
//
// The commands, answers and announcements of a prefix belong to one store. A claim on the bus names
// that store. The claim is changed only by compare-and-set, and its owner confirms it every few
// seconds.
//
//	seeking ──▶ waiting ──▶ owner ⇄ unconfirmed
//	   │           │          │
//	   └───────────┴──────────┴──▶ refused or replaced: the process ends
//
// An owner that could not confirm its claim for one TTL is unconfirmed: it still commits, but sends
// and receives nothing. A new owner waits for two TTLs before it sends. It need not wait if the
// previous owner is known to have stopped, or if the bus refuses that owner's messages. Clocks of
// different machines are never compared: each process uses its own monotonic clock, which also runs
// while the machine sleeps. The only assumption is that these clocks run at about the same rate.
//
// Keeper has no goroutine and no clock of its own. The coordinator or the simulator calls Step, and
// calls it again after the time that Step returned.
//
// The package is for whoever implements a part of the coordinator. A minor version may add methods
// to its interfaces and change its types (RELEASING.md).
package ownership
