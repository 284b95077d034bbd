// Package crashpoint names the places where the death of the process matters,
// so that a test can kill it at each of them.
//
//	crashpoint.Wrap[store.Store](s)        the seams: store, bus, claim. The laboratory's wrappers
//	                                       (internal/lab/seam) die before and after each call
//	crashpoint.Here(crashpoint.Claimed)    inside, where no seam shows the moment
//
//	ordinary build            Here is empty, Wrap returns what it was given; both are inlined to nothing
//	-tags crashpoints         Here counts, and at the visit that AMENDS_CRASHPOINT
//	                          names ("store: before Commit#3") it ends the own
//	                          process with SIGKILL
//
// With AMENDS_CRASHPOINTS_LOG, such a build also appends a line to that file for
// every visit, so that a test knows which points were reached, and one that
// begins with Died before it dies.
//
// It does not return errors, wait, or change anything: what a failing disk or bus
// does is for other tests. It keeps no invariant; it is how they are tested.
//
// A crash window lies between two effects that outlive the process: a commit, a file with its
// name, a message on the wire. Deaths within one window leave the same behind, so that each
// needs one point (ADR 0039). A point is inside only if both of its neighbours at the seams are
// in other windows; then it is a constant with that reason, used at one place. Failure looks like
// a test of this package that names the point which is in one place and not in the other; a build
// with the tag panics at a point, or with an AMENDS_CRASHPOINT, that is not in All.
package crashpoint
