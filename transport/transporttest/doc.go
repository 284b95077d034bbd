// Package transporttest is the conformance suite for buses. Run checks that an implementation of
// transport.Bus has every property on which coordinator and participants rely.
//
//	transporttest.Run(t, transporttest.Factory{New: …, Lose: …})
//
// It tests neither performance nor server failures; each bus has separate tests for both.
// Factory.Lacks lists features that a bus does not have, with the reasons. Their tests are not run.
package transporttest
