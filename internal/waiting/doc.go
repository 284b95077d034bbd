// Package waiting logs what a program waits for, at once and then every few seconds, with the start
// and the reason of the wait.
//
//	a retry loop ──▶ Still(why) ──▶ a line now, and one every 5 s
//	                        ──▶ Over()     ──▶ a line, if there was one before
//
// It does not wait itself and has no goroutine. The caller decides when to give up. A Line must be
// used by one goroutine only.
package waiting
