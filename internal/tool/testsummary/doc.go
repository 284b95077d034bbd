// Testsummary reads the output of `go test -json` and prints what a person and
// a CI want to see of it:
//
//	go test -json ./... | testsummary
//
// One line per package as it ends, the whole output of tests that failed, the
// skipped tests with their reasons, and as the last line "N passed, N failed,
// N skipped". It does not run tests.
//
// It exits with 1 when something failed, when nothing ran, or, with -noskips,
// when something was skipped: on a machine that has everything a skipped test
// is a test that nobody runs.
package main
