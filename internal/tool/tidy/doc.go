// Package tidy is the repository's rules as a Go test: what a reviewer would
// otherwise have to remember.
//
//	files ──Load──▶ Tree ──Rule──▶ findings ──▶ go test ./internal/tool/tidy
//
// It reads the source with go/parser and asks the go command for one import
// graph; it compiles nothing of its own and takes a few seconds. It does not
// judge style that gofmt or golangci-lint judge already.
//
// Failure looks like a Finding: where, what is wrong, and how to fix it. Every
// rule is also run on a small fixture that breaks it, so that a rule that can
// no longer fail is noticed.
package tidy
