// Package simulation runs the whole system from one seed. Coordinators, store, bus, participants,
// callers and operators run in one goroutine, in virtual time and under faults. The package checks
// the invariants on the resulting history.
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
// The Engine, the Relay, the participant's core, Decide and the store are the real ones. The clock
// and the connections between these parts are simulated. A run begins with faults. Then the faults
// stop, an operator repairs parked sagas, and all sagas must end and the system must come to rest.
//
// In some runs each coordinator has its own store and claims the prefix. Copies of a store,
// restored stores and unrelated stores start, are refused, take over and are replaced. The Keeper
// of the claim is the real one. Each store's history is checked separately, and I11 on all
// histories together.
//
// Each seed draws its own mix of faults. About a third of the faults are off in each mix, so that
// faults do not hide each other. The same options give the same history, byte for byte: a failed
// run can be repeated, shrunk (Shrink), and kept (TestKeptRuns).
//
// The package checks itself. Each planted bug (Bugs) must be caught by the invariant that it
// breaks. A batch fails if a kind of fault or a rare situation did not occur often enough
// (Totals.Missing).
//
// The package does not simulate goroutines, locks, sockets or files inside a process. The
// laboratories test real processes and power cuts.
//
// A failure is a Violation, which describes the invariant, what happened and when. Options.Command
// returns the command line that repeats the run.
package simulation
