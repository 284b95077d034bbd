// Package seam wraps the seams of Amends, so that a process dies before and after their calls.
//
//	program under test ──▶ crashpoint.Wrap ──▶ Store, Bus, Claims, Inbox of this package ──▶ the real ones
//
// Wrappers only note the call (crashpoint.Here) and pass it on; in a build without the tag
// crashpoints they do nothing else. They keep no invariant. Calls that a wrapper does not have
// are those of what is wrapped. Failure looks like a test of internal/lab/reliability that
// names the call.
package seam
