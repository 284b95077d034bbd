// Package heap suits Go's garbage collector to a service that makes much garbage and
// keeps little. It does not measure or bound what the service keeps; limits of the
// coordinator do that (I10).
//
//	what is in use ──▶ GOGC: twice, or up to Floor, at most five times
//	the cgroup     ──▶ GOMEMLIMIT: nine tenths of what it allows
//
// It sets what belongs to the whole process, so only programs use it. Nothing of it can
// fail the program: if the limit cannot be found out, it logs a warning and goes on.
package heap
