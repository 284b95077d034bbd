// Package projection answers questions about a coordinator's sagas without asking the store: which
// of them are moving and in which state they are, who waits for them, what has moved lately, how
// many are open, paused or blocked, and their statistics.
//
//	applied changes ──▶ Part.Apply ─┬─▶ standings (guard by birth and revision)
//	                                ├─▶ feed       ◀── watch
//	                                ├─▶ waiters    ──▶ callers that wait for rest
//	                                ├─▶ paused, blocked, open
//	                                └─▶ figures    ◀── overview
//
// Apply is the only entry for what happens to sagas. Whoever moves a saga calls it in the order of
// the revisions. A change that is not newer than the known state of its saga has no effect. A
// change that is newer by more than one revision shows that others were missed: its state is
// adopted, and watchers are told how many were missed. All answers come from the same changes, so
// none is ahead of another.
//
// Sagas are divided into parts with a lock each. Apply holds the lock of one part; a reader of all
// parts takes the locks one after the other. No callback is called with a lock held.
//
// Projection has its methods in six files, each of which answers one kind of question:
//
//	projection.go  the parts, the state of each open saga, and how many are open
//	feed.go        what has changed lately, for those who watch
//	waiter.go      who waits for which saga
//	paused.go      which sagas are paused
//	blocked.go     which sagas cannot be moved, and why
//	figures.go     counts and latencies of definitions and participants
//
// It is pure: no bus, no store, no clock, no goroutine except the timers of Waiter.Hold. It does
// not know the content of a saga. After a restart its content is rebuilt: the number of open sagas
// by Rebuild, paused sagas by SearchPaused, everything else as sagas move.
//
// It keeps I10: the Max constants bound what is kept.
package projection
