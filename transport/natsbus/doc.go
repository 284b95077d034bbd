// Package natsbus is transport.Bus on NATS JetStream.
//
//	Publish ══ asynchronous, one future each ══▶ SAGA_COMMANDS   work queue
//	                                             SAGA_EVENTS     work queue
//	                                             SAGA_LIFECYCLE  kept 7 days
//	Receive ◀══ durable pull consumers, batches  SAGA_DEAD       kept 30 days
//	Request, Respond ══ core NATS, queue groups
//
// Streams are created or checked when the bus is created; a critical difference is a *DriftError.
// Subscribe creates consumers. If somebody deletes a stream, a consumer or the server's files while
// the bus runs, it recreates them: sources continue, and Resets signals a possible loss.
//
// Messages are CloudEvents 1.0 in binary mode of the NATS binding; docs/WIRE.md shows the bytes. A
// message that cannot be decoded is moved to SAGA_DEAD with its bytes, headers, reason and origin
// (I9), and can be replayed. No delivery is held for that: after 3 tries or 15 s it is terminated.
// Each participant has its own rate limit and its own ring of dead letters (I10,
// docs/adr/0021-dead-letter-rings.md).
//
// It imports neither a server (see embedded) nor Watermill (see natswatermill). It relies neither
// on the broker's storage (I2) nor on its deduplication.
//
// A failure shows as an error per envelope from Publish, as no deliveries from Receive while the
// server is away, and as counts in Stats. Check reports what is wrong.
package natsbus
