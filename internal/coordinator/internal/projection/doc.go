// Package projection answers queries about a coordinator's sagas without reading the store: the
// state of sagas that are not at rest, the callers that wait for them, recent changes, the numbers
// of open, paused and blocked sagas, and statistics.
//
//	applied changes ──▶ Part.Apply ─┬─▶ standings (guard by birth and revision)
//	                                ├─▶ feed       ◀── watch
//	                                ├─▶ waiters    ──▶ callers that wait for rest
//	                                ├─▶ paused, blocked, open
//	                                └─▶ figures    ◀── overview
//
// Every change of a saga enters through Apply, in the order of the saga's revisions. A change that
// is not newer than the known state of its saga has no effect. A change that is newer by more than
// one revision shows that other changes were missed: its state is adopted, and watchers are told
// how many were missed. All answers are derived from the same changes, so none is ahead of another.
//
// Sagas are divided into parts with a lock each. Apply holds the lock of one part; a method that
// reads all parts takes the locks one after the other. No callback is called with a lock held.
//
// The methods of Projection are in six files, one for each kind of query:
//
//	projection.go  the parts, the state of each open saga, and how many are open
//	feed.go        what has changed lately, for those who watch
//	waiter.go      who waits for which saga
//	paused.go      which sagas are paused
//	blocked.go     which sagas cannot make progress, and why
//	figures.go     counts and latencies of definitions and participants
//
// It is pure: no bus, no store, no clock, no goroutine except the timers of Waiter.Hold. It does
// not know the data of a saga. After a restart its state is rebuilt: the number of open sagas by
// Rebuild, paused sagas by SearchPaused, everything else as sagas change.
//
// It keeps I10: the Max constants bound its memory.
package projection
