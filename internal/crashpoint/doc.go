// Package crashpoint names the points in the code at which a crash matters. Tests can kill the
// process at each of them.
//
//	crashpoint.Wrap[store.Store](s)        the seams: store, bus, claim. The laboratory's wrappers
//	                                       (internal/lab/seam) die before and after each call
//	crashpoint.Here(crashpoint.Claimed)    inside, where no seam shows the moment
//
//	ordinary build            Here is empty, Wrap returns its argument; both are inlined to nothing
//	-tags crashpoints         Here counts visits, and kills the process with SIGKILL at the visit
//	                          that AMENDS_CRASHPOINT names ("store: before Commit#3")
//
// If AMENDS_CRASHPOINTS_LOG names a file, such a build also appends a line to it for every visit.
// Before a crash it appends a line that begins with Died.
//
// The package injects no errors and no delays: other tests cover failing disks and buses.
//
// The name of a point consists of a package and a moment. Each point is used in one place and
// listed in All. A test of this package fails with the name of a missing or unused point; with the
// tag, an unknown AMENDS_CRASHPOINT panics.
package crashpoint
