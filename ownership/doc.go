// Package ownership keeps one store from acting where another one does (I11).
//
// Commands, answers and announcements under one prefix belong to one store. Which one it is
// stands in a claim on the bus, which is changed by compare-and-set only, and which its owner
// confirms every few seconds.
//
//	seeking ──▶ waiting ──▶ owner ⇄ unsure
//	   │           │          │
//	   └───────────┴──────────┴──▶ refused, or replaced: the process ends
//
// An owner that could not confirm its claim for Bound is unsure: it commits, and sends and
// takes nothing. Whoever takes a claim over waits for two Bounds before it sends, unless the
// other is known to be dead or the bus refuses what it sends. Nothing depends on clocks that
// are compared: each process measures with its own clock, which goes on while the machine
// sleeps, and what is trusted is that these go at about the same rate.
//
// Keeper has no goroutine and no clock of its own: Step is called when its last call said.
// A coordinator drives it, and so does the simulator.
package ownership
