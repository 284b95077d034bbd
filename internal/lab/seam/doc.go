// Package seam wraps the seams of Amends, so that a process can crash before and after each call.
//
//	program under test ──▶ crashpoint.Wrap ──▶ Store, Bus, Claims, Inbox of this package ──▶ the real ones
//
// Each wrapper records the call (crashpoint.Here) and forwards it. Methods that a wrapper does not
// define call the wrapped value directly. The package keeps no invariant. Without the build tag
// crashpoints, recording a call does nothing. A failure is a failed test of
// internal/lab/reliability that names the call.
package seam
