// Package pool reuses values, so that encoding a message does not allocate the memory for it. It is
// a typed sync.Pool that resets values, and that a test can switch off to compare the results
// (ADR 0041).
package pool
