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
// It keeps two invariants. I3: every step that may have happened is undone, if it can be and no
// operator has skipped it. I4: undos run in the reverse order of the dos, the undos of parallel
// branches together; no undo runs while any do is in progress, after its do was rejected, or after
// the pivot completed.
//
// The caller must follow two rules: compensate only while PastPivot is false, and report a pivot
// with an unknown outcome as Doing, so that nothing before it is undone.
//
// Check reports all problems of a malformed tree at once. The other functions expect a tree that
// passes it, and return no errors.
//
// The terms compensable, pivot and retriable are Chris Richardson's (Microservices Patterns,
// chapter 4); sagas are from Garcia-Molina and Salem (SIGMOD 1987).
package compensation
