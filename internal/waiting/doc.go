// Package waiting logs what a program waits for: at once, and then every few seconds, with
// since when and why.
//
//	a retry loop ──▶ Still(why) ──▶ a line now, and one every 5 s
//	                        ──▶ Over()     ──▶ a line, if there was one before
//
// It does not wait itself and has no goroutine; the caller decides when to give up. A Line
// belongs to one goroutine.
package waiting
