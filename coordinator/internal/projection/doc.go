// Package projection keeps what a coordinator can tell of its sagas without asking the store:
// which of them move and where they stand, who waits for them, what has moved lately, how many
// are open, paused or blocked, and how they fare.
//
//	what is applied ──▶ Part.Apply ─┬─▶ standings (guard by birth and revision)
//	                                ├─▶ feed       ◀── watch
//	                                ├─▶ waiters    ──▶ those who wait for rest
//	                                ├─▶ paused, blocked, open
//	                                └─▶ figures    ◀── overview
//
// Apply is the one way in for what happened to sagas. It is told of each saga in the order of
// its revisions, by whoever moved it. A change that is not newer than what is known of its saga
// changes nothing. One that is newer by more than one revision says that others were missed:
// where the saga stands is taken from the change, and watchers are told how many were missed.
// All readings come from the same changes, so that none is ahead of another.
//
// Sagas are divided into parts, each with a lock of its own. Who applies holds one part's lock;
// a reader of all parts takes one after the other. Nobody is called with a lock held.
//
// It is pure: no bus, no store, no clock, no goroutine but the timers of Waiter.Hold. It does
// not know what a saga is made of. What it knows is gone with the process, and rebuilt: the
// number of open sagas with Rebuild, paused sagas with SearchPaused, all else as sagas move.
//
// It keeps I10: Max… bound what is kept.
package projection
