// Package tidy checks the repository's rules in a Go test, so that reviewers need not remember
// them.
//
//	files ──Load──▶ Tree ──Rule──▶ findings ──▶ go test ./internal/tool/tidy
//
// It reads the source with go/parser and gets one import graph from the go command. It compiles
// nothing and takes a few seconds. It does not check style that gofmt or golangci-lint check
// already.
//
// A failure is a Finding that says where the violation is, what is wrong, and how to fix it. Every
// rule is also run on a small fixture that violates it, which detects a rule that can no longer
// fail.
package tidy
