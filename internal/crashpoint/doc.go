// Package crashpoint names the places where the death of the process matters,
// so that a test can kill it at each of them.
//
//	crashpoint.Here("boltstore: before commit")
//
//	ordinary build            Here is empty and inlined to nothing
//	-tags crashpoints         Here counts, and at the visit that AMENDS_CRASHPOINT
//	                          names ("boltstore: before commit#3") it ends the own
//	                          process with SIGKILL
//
// With AMENDS_CRASHPOINTS_LOG, such a build also appends a line to that file for
// every visit, so that a test knows which points were reached, and one that
// begins with Died before it dies.
//
// It does not return errors, wait, or change anything: what a failing disk or bus
// does is for other tests. It keeps no invariant; it is how they are tested.
//
// A name says the package and the moment, is written as a literal at the call,
// is used at one place only, and stands in All. Failure looks like a test of this
// package that names the point which is in one place and not in the other; a
// build with the tag panics when AMENDS_CRASHPOINT names no point.
package crashpoint
