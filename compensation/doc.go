// Package compensation is the algebra of going back: which kinds of step there
// are, which trees of steps make a saga that can always end, and which undos
// may run now.
//
// It is the one algorithm of Amends whose mistakes cost money, so it stands
// alone: no import of ours, no I/O, no clock, no names. A saga is a tree of
// numbered leaves; the state of a leaf is a function from its number.
//
//	        sequence                    undo runs the mirror image:
//	┌─────────┼──────────┐
//	1      parallel      4 pivot        4 completed  → nothing, never again
//	       ┌──┴──┐                      4 rejected   → {2,3} together, then 1
//	       2     3
//
// It keeps I3 and I4: every step that may have happened is undone, in reverse
// order of the do's, parallel siblings together, never before its do has
// ended, never for a step that was rejected, never after the pivot completed.
//
// It cannot fail at run time. A tree that is not well-formed is reported by
// Check, all problems at once.
//
// The words compensable, pivot and retriable are Chris Richardson's
// (Microservices Patterns, chapter 4); sagas are from Garcia-Molina and Salem
// (SIGMOD 1987).
package compensation
