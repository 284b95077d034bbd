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
// Bus has its methods in eight files, one for each thing that a bus does, so that what uses one
// stream or one kind of message is read in one place:
//
//	bus.go         connect, close, and what the connection reports
//	publish.go     messages and bundles to the streams; what a refused publish means
//	request.go     requests and replies, which are not stored
//	consumer.go    consumers: subscribe, create and recreate them, provide them to participants
//	deadletter.go  store dead letters, list, replay, discard and purge them
//	stream.go      streams: create, check and read them
//	watch.go       recreate what was deleted meanwhile; Check, Stats and Load
//	claim.go       the claim to the prefix, and the fence that commands are held against
//
// The other types:
//
//	source.go      source, an open subscription: receive, open bundles, keep its consumer
//	delivery.go    delivery, a received message and its acknowledgement
//	track.go       tracked, which deliveries of a source are finished
//	deadqueue.go   deadQueue, dead letters that wait to be stored, with a rate limit for each participant
//	rings.go       rings, which dead letters each participant has in the stream
//	readers.go     readers, which participants take bundles, and how large
//	violation.go   violations, the subjects that the server does not let the bus publish to
//	config.go      Config and Credentials
//	grant.go       Grant, the permissions of each Role, and the server's configuration for them
//	account.go     the account of a connection
//	payload.go     the size of messages that the server has to accept
//
// It imports neither a server (see embedded) nor Watermill (see natswatermill). It relies neither
// on the broker's storage (I2) nor on its deduplication.
//
// A failure shows as an error per envelope from Publish, as no deliveries from Receive while the
// server is away, and as counts in Stats. Check reports what is wrong.
package natsbus
