// Package heap tunes Go's garbage collector for a service with much garbage and a small live heap.
// It does not limit memory; the coordinator's limits do that (I10).
//
//	what is in use ──▶ GOGC: twice, or up to Floor, at most five times
//	the cgroup     ──▶ GOMEMLIMIT: nine tenths of what it allows
//
// Tune changes settings of the whole process, so only programs call it. It cannot fail. If the memory
// limit is unknown, it logs a warning and continues. Limit changes nothing.
package heap
