// Package coordinator runs sagas. Its inputs are answers from the bus, requests from callers, and
// timers. It decides them with machine.Decide and commits the decisions. Only then does it
// acknowledge answers, reply to callers and send commands.
//
//	bus events ─┐                        ┌─▶ acknowledge the bus
//	starts ─────┼─▶ shard ─▶ Engine.Step ┼─▶ reply to callers
//	timers ─────┤   (gather,   (decide,  └─▶ outbox.Relay ─▶ bus commands
//	operators ──┘    a batch)   commit)
//
// The following functions process a participant's answer, from its delivery to its acknowledgement.
// Each function is called by the one under which it is indented:
//
//	Coordinator.receive        asks the bus for answers
//	  Coordinator.arrive       turns one into an Input (ReadAnswer) or a dead letter
//	    Coordinator.put        hands it to its saga's shard: inbox.put
//	shard.run                  gathers a batch: inbox.take, shard.linger
//	  Engine.Step              decides the batch, and again after another coordinator's commit
//	    Engine.step            commits all decisions together
//	      Engine.decideAll     decides the inputs, with a draft for each saga
//	        Engine.load        reads the saga from the cache or the store
//	        Engine.decide      decides one input
//	          Engine.apply     applies one event: machine.Decide
//	            draft.discard  drops commands that are no longer pending
//	            writer.records encodes new messages
//	  shard.speak              reveals what is durable now, to the relay first
//	    shard.project          updates the projection, which notifies waiters and watchers
//	    shard.transition       reports to metrics, traces and the log
//	    shard.acknowledge      answers the bus as verdictOf decides
//
// Requests enter through service.submit and Coordinator.offer, and are answered by shard.speak.
// Timers enter through timekeeper.wake. Queries that do not need the store are answered from the
// projection (package internal/projection).
//
// Expensive mappings are evaluated outside the shard, so that its other sagas can continue
// (aside.go).
//
// Engine is the core that can be called step by step: it has no goroutine and no clock, and takes
// one batch per call. Tests and the simulator call it directly; Coordinator adds subscriptions,
// shards, timers and shutdown. Each saga belongs to one shard, so the shards of one coordinator
// never change the same saga. If another coordinator uses the same store, the commit decides which
// one wins (I7).
//
// The service serves the requests of callers and operators. Its methods are in eight files, one for
// each kind of request, together with their types and checks:
//
//	service.go:     start, run, get and wait: one saga, from its start to its end
//	operation.go:   operators' decisions about one saga or many; removal of a damaged saga
//	watch.go:       changes of sagas after a position
//	history.go:     the recorded events of a saga
//	list.go:        list and count sagas; the overview and the participants
//	define.go:      definitions; definitions.go holds the loaded definitions
//	deadletter.go:  dead letters and orphaned inbox entries
//	api.go:         how a request reaches its method, and how the reply reaches the caller
//
// Package coordinator keeps these invariants: I1 (commit before answering or sending), I2 (a start
// is acknowledged after its commit; answers discard commands), I7, I8 (accepted events are the
// history), I9 (invalid messages go to the dead letters, with the reason) and I10 (Config names the
// bounds).
//
// It does not know undo order (package compensation), the meaning of an event (package saga), or
// how the bus and the store are implemented.
//
// A failure is reported as a refused request with an api.Code, as a dead letter or, if the
// store fails, as the error of Run. The process must then exit, because a failed fsync must not be
// repeated.
package coordinator
