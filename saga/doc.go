// Package saga is the vocabulary of Amends: how a saga is defined (Define), what
// a definition is (Definition: checked, immutable data), where one run of it
// stands (Instance), and how it moves (Decide).
//
//	Define[Order]("checkout", …) ──▶ *Definition ─┐
//	                                              ▼
//	              Instance, Event ──▶ Decide ──▶ Instance, Effects
//
// Decide is pure (I6): events carry their time, effects are data, jitter is a
// hash. It does not store, send or wait; package coordinator does. Undo order is
// not here either: it is package compensation.
//
// It keeps I3 and I4 (through compensation), I6, I8 (History: folding the
// recorded events through Decide gives the stored instance) and its part of I10
// (Limits).
//
// Failure looks like a *DefinitionError, which lists every problem of a
// definition with its path and a way to fix it; like an *OperationError, which says
// which operations would have been legal; or like Effects.Ignored, when an event
// comes too late, twice or from nowhere.
package saga
