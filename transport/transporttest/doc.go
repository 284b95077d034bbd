// Package transporttest is the conformance suite for buses: Run tests an implementation of
// transport.Bus for everything that coordinator and participants rely on.
//
//	transporttest.Run(t, transporttest.Factory{New: …, Lose: …})
//
// It tests neither speed nor server failures; each bus has its own tests for those. Factory.Lacks
// lists what a bus cannot do, with the reason; those tests are not run.
package transporttest
