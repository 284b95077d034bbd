// Package waiting says on what a program waits: at once, and every few seconds, since when
// and why.
//
//	a loop that tries again ──▶ Still(why) ──▶ a line now, and one every 5 s
//	                        ──▶ Over()     ──▶ a line, if there was one before
//
// It does not wait itself, has no goroutine, and gives up nothing: whoever waits knows for
// how long. A Line belongs to one goroutine.
package waiting
