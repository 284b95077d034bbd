// Package simulation runs the whole system from one seed: coordinators, store,
// bus, participants, callers and operators in one goroutine, in virtual time,
// under faults; and checks the invariants on the history that comes out.
//
//	seed ──▶ rng ──▶ mix of faults, definitions, sagas
//	                     │
//	  callers ──▶ node (Engine + Relay) ──▶ disk (memstore)
//	                │ ▲                       faults at every arrow:
//	                ▼ │                       crash, lose, repeat, delay …
//	               bus ──▶ service (participant.Answer + inbox)
//	                     │
//	                     ▼
//	                  history ──▶ rules (I1 … I11) ──▶ violations
//
// The Engine, the Relay, the participant's core, Decide and the store are the
// real ones; what stands between them, and the clock, is simulated. A run has
// chaos first; then the faults stop, an operator repairs what is parked, and
// everything has to end and become quiet.
//
// In some runs each coordinator has a store of its own, and they claim the prefix: copies of
// a store, restored ones and others come, are refused, take over and are replaced. The Keeper
// of the claim is the real one; a store's history is checked by itself, and I11 on all of them.
//
// Each seed draws its own mix: a third of the faults do not happen in it, so
// that they do not hide each other. The same options give the same history, byte
// for byte: what fails once can be looked at as often as one likes, shrunk
// (Shrink), and kept (TestKeptRuns).
//
// The package checks itself: planted bugs (Bugs) must be caught, each by the
// invariant that it breaks, and a batch in which a kind of fault or a rare
// situation did not come up often enough fails (Totals.Missing).
//
// It does not simulate what is inside a process: goroutines, locks, sockets,
// files. Real processes and power cuts are tried elsewhere.
//
// Failure looks like a Violation: the invariant, what happened, when; with the
// command that shows it again.
package simulation
