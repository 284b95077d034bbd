// Package machine is how a saga moves: where one run stands (Instance), what happens to it
// (Event), and what follows (Decide).
//
//	           Plan ────────┐
//	                        ▼
//	Instance, Event ──▶ Decide ──▶ Instance, Effects
//
// A Plan is what a definition comes to; package saga makes it, with mappings that the machine
// knows as an interface: whoever needs an Instance compiles no expression language.
//
// Decide is pure (I6): events carry their time, effects are data, jitter is a hash. It does not
// store, send or wait; package coordinator does. Undo order is not here either: it is package
// compensation.
//
// It keeps I3 and I4 (through compensation), I6, I8 (Fold: folding the recorded events through
// Decide gives the stored instance) and its part of I10 (Limits).
//
// Failure looks like an *OperationError, which says which operations would have been legal; or
// like Effects.Ignored, when an event comes too late, twice or from nowhere.
package machine
