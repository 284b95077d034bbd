// Package compensation decides which trees of steps form a saga that can always end, and which
// undos may run at a given moment.
//
// Mistakes in this algorithm cost money, so the package is independent: it imports no other package
// of this module, and has no I/O, no clock and no names. A saga is a tree of numbered leaves; a
// function maps the number of a leaf to its state.
//
//	        sequence                    undo runs the mirror image:
//	┌─────────┼──────────┐
//	0      parallel      3 pivot        3 completed  → nothing, never again
//	       ┌──┴──┐                      3 rejected   → {1,2} together, then 0
//	       1     2
//
// It keeps two invariants. I3: every step that may have happened is undone. I4: undos run in the
// reverse order of the dos, the undos of parallel branches together; no undo runs before its do has
// ended, after the do was rejected, or after the pivot completed.
//
// The caller must follow two rules: compensate only while PastPivot is false, and report a pivot
// with an unknown outcome as Doing, so that nothing before it is undone.
//
// It has no run-time errors. Check reports all problems of a malformed tree at once.
//
// The terms compensable, pivot and retriable are Chris Richardson's (Microservices Patterns,
// chapter 4); sagas are from Garcia-Molina and Salem (SIGMOD 1987).
package compensation
