// Package reliability injects faults into a running system and audits the result. Coordinator, NATS
// server and participants are separate processes. The tests kill and pause them, disconnect them
// and delete their data while sagas run.
//
//	load ──▶ proxy ──┐                       ┌── proxy ◀── bank      (SQLite)
//	                 ├──▶ NATS server ◀──────┼── proxy ◀── clearing  (SQLite)
//	coordinator ──▶ proxy                    └── proxy ◀── post      (SQLite)
//	   │
//	 store                faults ──▶ every process, every proxy, the server's streams
//
// It holds tests only; the processes are the test binary, started again. A run draws its faults
// from a seed and prints the seed. It ends with a table that lists, for each fault, how often it
// was tried and how many sagas were in flight, lost, doubled or stuck. Once everything is at rest,
// the audit of package world reads the participants' databases and the coordinator's store (I1 to
// I5, I8).
//
// The tests need the build tag lab: "make lab-reliability" runs them in the short form that CI
// runs, "make lab-reliability CYCLES=1000 OUTAGE=3m" in the long one. The seed determines the order
// and the parameters of the faults, but not the timing on the machine. To reproduce a finding, run
// its seed several times.
//
// It does not test power cuts (what a process wrote survives its crash), full disks or clusters of
// servers.
//
// A failure is a failed test that names each saga and what is wrong with it, with the last lines of
// every process's log.
package reliability
