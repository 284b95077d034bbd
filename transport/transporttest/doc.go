// Package transporttest is the law for buses: Run tries everything that the two
// ends rely on against an implementation of transport.Bus.
//
//	transporttest.Run(t, transporttest.Factory{New: …, Lose: …})
//
// It does not test speed, nor what happens to a server; each bus has tests of its
// own for that. What a bus cannot do is said in Factory.Lacks, with the reason, and
// not run.
package transporttest
