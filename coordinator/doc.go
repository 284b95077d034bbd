// Package coordinator runs sagas: it takes in what the bus, the callers and the
// clock have to say, lets machine.Decide decide, commits, and only then answers,
// acknowledges and sends.
//
//	bus events ─┐                        ┌─▶ acknowledge the bus
//	starts ─────┼─▶ shard ─▶ Engine.Step ┼─▶ reply to callers
//	timers ─────┤   (gather,   (decide,  └─▶ outbox.Relay ─▶ bus commands
//	operators ──┘    a batch)   commit)
//
// The way of a change, from its delivery to its answer; each function is called by the one that it
// is indented under:
//
//	Coordinator.receive        asks the bus for answers
//	  Coordinator.arrive       makes an Input of one (ReadAnswer), or a dead letter
//	    Coordinator.put        hands it to its saga's shard: inbox.put
//	shard.run                  gathers a batch: inbox.take, shard.linger
//	  Engine.Step              decides it, and again what another coordinator was quicker with
//	    Engine.step            commits what is decided, all at once
//	      Engine.decideAll     goes through the inputs, with a draft for each saga
//	        Engine.load        where the saga stands, from the cache or the store
//	        Engine.decide      what is to be done with one input
//	          Engine.apply     applies one event: machine.Decide
//	            draft.discard  commands that are not pending any more
//	            writer.records messages that are
//	  shard.speak              tells what is durable now; relay first
//	    shard.project          tells the projection, and through it those who wait and watch
//	    shard.transition       tells metrics, traces and the log
//	    shard.acknowledge      answers the bus, as verdictOf says
//
// A request comes in by service.submit and Coordinator.offer, and has its reply from shard.speak; a timer
// comes in by timekeeper.wake. What can be told without
// asking the store is read from the projection (package internal/projection).
//
// What a mapping makes that costs much is worked out beside the shard, whose other sagas go on
// meanwhile (aside.go).
//
// Engine is the steppable core: no goroutine, no clock, one call per batch. It
// is what tests and the simulator drive. Coordinator puts subscriptions, shards,
// timers and shutdown around the same Engine. One saga is handled by one shard,
// so a coordinator does not compete with itself; another coordinator on the same
// store loses or wins at the commit (I7).
//
// The service serves the requests of callers and operators around all of that. Its methods are in
// eight files, one for each thing that requests are about, beside the types and checks of that:
//
//	service.go:     start, run, get and wait: one saga, from its start to its end
//	operation.go:   what operators decide: about one saga, about many, about a damaged one
//	watch.go:       what has changed since
//	history.go:     the recorded events of a saga
//	list.go:        list and count sagas; the overview and the participants
//	define.go:      definitions; those that are loaded are in definitions.go
//	deadletter.go:  dead letters and orphaned inbox entries
//	api.go:         how a request gets to its method, and its reply to the caller
//
// It keeps I1 (commit, then speak), I2 (a start is acknowledged after its
// commit; commands are discarded by answers), I7, I8 (accepted events are the
// history), I9 (what cannot be understood goes to the dead letters, with the
// reason) and I10 (Config names the bounds).
//
// It does not know undo order (package compensation), the meaning of an event
// (package saga), or what the bus and the store are made of.
//
// Failure looks like a refused request with a transport.Code, like a dead
// letter, or, when the store breaks, like Run returning the reason: the process
// ends then, because a failed fsync must not be tried again.
package coordinator
