// Package crashpoint names the points in the code at which a crash matters, so that tests
// can kill the process at each of them.
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
// With AMENDS_CRASHPOINTS_LOG, such a build also appends a line to that file for every
// visit, and one that begins with Died before it crashes.
//
// It does not return errors, wait, or change anything: other tests cover failing disks and
// buses.
//
// A name consists of the package and the moment. It is a literal at the call, used once,
// and listed in All. Failure looks like a test of this package that names the missing or
// unused point; with the tag, an unknown AMENDS_CRASHPOINT panics.
package crashpoint
