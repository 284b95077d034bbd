// Package partition tests a running system with faults of the network, memory and disk, and with
// stores of earlier releases, and audits the result.
//
//	                     ┌── node 1 ──┐
//	load ── ┌─────┐ ─────┼── node 2 ──┤  three NATS servers, streams with three copies
//	        │ hub │      └── node 3 ──┘
//	        └─────┘ ── coordinator ── store
//	           └────── bank ── SQLite
//
// It holds tests only. Each process is the test binary, started again in its own network namespace.
// The hub routes every packet between two processes, and the tests drop and delay packets there.
// Package world audits the participants' databases and the coordinator's store (I1 to I5, I8).
//
// The other tests run "coordinator serve" in a cgroup with little memory, with few file descriptors
// and on a small disk (I10). They also open the stores that earlier releases wrote to testdata, and
// fold the histories recorded there (I8).
//
// The tests need the build tag lab: "make lab-partition" runs them in the short form that CI runs,
// "make lab-partition ROUNDS=3" in the long one. They run on Linux only, and most need root.
//
// It does not test power cuts, and it does not kill processes at random.
//
// A failure is a failed test that names each saga and what is wrong with it, with the last lines of
// every process's log. Namespaces and mounts of the tests disappear with their processes, however
// these end. A killed test may leave an empty cgroup.
package partition
