// Package partition takes away what a running system stands on, the network, the
// memory, the disk, the release it was written by, and audits what is left.
//
//	                     ┌── node 1 ──┐
//	load ── ┌─────┐ ─────┼── node 2 ──┤  three NATS servers, streams with three copies
//	        │ hub │      └── node 3 ──┘
//	        └─────┘ ── coordinator ── store
//	           └────── bank ── SQLite
//
// It holds tests only; the processes are the test binary, started again. Each
// stands in a network namespace of its own, and every packet between two of them
// is routed by the hub, where the tests drop, lose and slow down packets. Package
// world audits the participants' databases and the coordinator's store (I1 to I5, I8).
//
// The other tests run "coordinator serve" in a cgroup with little memory, with
// few file descriptors and on a small disk (I10), open the stores that releases
// have left in testdata, and fold the histories recorded there (I8).
//
// The tests are behind the build tag lab: "make lab-partition" runs them in the short
// form that CI runs, "make lab-partition ROUNDS=3" in the long one. They are Linux's, and
// most need root.
//
// It does not test power cuts, and it does not kill processes at random.
//
// Failure looks like a failed test that names each saga and what is wrong with
// it, with the last lines of every process's log. A namespace, a cgroup or a
// mount that the tests make is gone when their process is, however it ended; a
// cgroup that a killed test leaves behind is empty.
package partition
