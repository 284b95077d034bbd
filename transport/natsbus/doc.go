// Package natsbus is transport.Bus on NATS JetStream.
//
//	Publish ══ asynchronous, one future each ══▶ SAGA_COMMANDS   work queue
//	                                             SAGA_EVENTS     work queue
//	                                             SAGA_LIFECYCLE  kept 7 days
//	Receive ◀══ durable pull consumers, batches  SAGA_DEAD       kept 30 days
//	Request, Respond ══ core NATS, queue groups
//
// Streams are created or checked when the bus is made: one that differs where it
// matters is a *DriftError. Consumers are made by Subscribe. Both are recreated
// when somebody deletes them, or the server's files, while the bus runs; sources
// go on by themselves and Resets signals what may be lost.
//
// Messages are CloudEvents 1.0 in binary mode of the NATS binding; docs/WIRE.md
// shows the bytes. What cannot be understood is moved to SAGA_DEAD with its bytes,
// headers, reason and origin (I9), and can be replayed. No delivery is held for that:
// within 3 tries or 15 s it is kept there or terminated, and each participant has a rate
// and a ring of dead letters of its own (I10, docs/adr/0021-dead-letter-rings.md).
//
// It does not import a server (see embedded) and not Watermill (see
// natswatermill). It trusts neither the broker's memory (I2) nor its
// deduplication.
//
// Failure looks like an error per envelope from Publish, silence from Receive
// while the server is away, and numbers in Stats. Check says in words what is
// wrong.
package natsbus
