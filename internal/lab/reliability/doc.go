// Package reliability breaks a running system on purpose and audits what is
// left: coordinator, NATS server and participants are processes of their own,
// and are killed, paused, cut off and robbed of their data while sagas run.
//
//	load ──▶ proxy ──┐                       ┌── proxy ◀── bank      (SQLite)
//	                 ├──▶ NATS server ◀──────┼── proxy ◀── clearing  (SQLite)
//	coordinator ──▶ proxy                    └── proxy ◀── post      (SQLite)
//	   │
//	 store                faults ──▶ every process, every proxy, the server's streams
//
// It holds tests only; the processes are the test binary, started again. A run
// draws its faults from a seed, prints it, and ends with one table: fault, times
// tried, sagas it met, lost, doubled, stuck. Once everything has come to rest the
// audit of package world reads the participants' databases and the coordinator's
// store (I1 to I5, I8).
//
// The tests are behind the build tag lab: "make lab-reliability" runs them in the short
// form that CI runs, "make lab-reliability CYCLES=1000 OUTAGE=3m" in the long one. The
// seed fixes the order of the faults and their measures, not what the machine
// makes of them: a finding is repeated by running the seed again, often.
//
// It does not test power cuts (what a process wrote survives its death), full
// disks, clusters of servers, or several coordinators.
//
// Failure looks like a failed test that names each saga and what is wrong with
// it, with the last lines of every process's log.
package reliability
