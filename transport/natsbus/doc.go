// Package natsbus implements transport.Bus on NATS JetStream.
//
//	Publish ══ asynchronous, one future each ══▶ SAGA_COMMANDS   work queue
//	                                             SAGA_EVENTS     work queue
//	                                             SAGA_LIFECYCLE  kept 7 days
//	Receive ◀══ durable pull consumers, batches  SAGA_DEAD       kept 30 days
//	Request, Respond ══ core NATS, queue groups
//
// # Usage
//
// A service or a caller connects to the server, and passes the bus to its participants and clients:
//
//	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: "nats://nats.example:4222", Name: "payment"})
//	if err != nil {
//		return err // the server is unreachable, or refuses the credentials
//	}
//	defer bus.Close()
//	err = payments.Run(ctx, bus)
//
// # Streams
//
// Streams are created or checked when the bus is created; a critical difference is reported as a
// *DriftError. Subscribe creates consumers. The bus recreates streams and consumers that are
// deleted, or lose their files, while it runs: sources continue, and Resets signals that messages
// may be lost. SAGA_COMMANDS and SAGA_EVENTS may be in memory, if the coordinator owns the server
// (Config.Memory, docs/adr/0044-queues-in-memory.md).
//
// Messages are CloudEvents 1.0 in binary mode of the NATS binding; docs/WIRE.md shows the bytes.
// The bus moves a message that it cannot decode to SAGA_DEAD with its bytes, headers, reason and
// origin (I9). Such a dead letter can be replayed. A delivery that cannot be dead-lettered is
// terminated after 3 tries or 15 s. Each participant has its own rate limit and its own ring of
// dead letters (I10, docs/adr/0021-dead-letter-rings.md).
//
// # Files
//
// The methods of Bus are in eight files, one for each task:
//
//	bus.go         connect, close, and handle errors of the connection
//	publish.go     messages and bundles to the streams; what a refused publish means
//	request.go     requests and replies, which are not stored
//	consumer.go    consumers: subscribe, create and recreate them, provide them to participants
//	deadletter.go  store dead letters, list, replay, discard and purge them
//	stream.go      streams: create, check and read them
//	watch.go       recreate deleted streams and consumers; Check, Stats and Load
//	claim.go       the claim on the prefix, and the fence against which the server checks commands
//
// The other types:
//
//	source.go      source, an open subscription: receive, open bundles, keep its consumer
//	delivery.go    delivery, a received message and its acknowledgement
//	lastack.go     lastAck, which keeps work queues from becoming empty between two messages
//	track.go       tracked, which messages of a source were negatively acknowledged
//	deadqueue.go   deadQueue, dead letters that wait to be stored, with a rate limit for each participant
//	rings.go       rings, which dead letters each participant has in the stream
//	consumerfile.go  consumerFile, the consumers of commands while these are in memory
//	readers.go     readers, how many messages each reader accepts in a bundle
//	violation.go   violations, the subjects that the server does not let the bus publish to
//	config.go      Config and Credentials
//	grant.go       Grant, the permissions of each Role, and the server's configuration for them
//	payload.go     the size of messages that the server has to accept
//
// The package imports neither a server (see embedded) nor Watermill (see natswatermill). It relies
// neither on the broker's storage (I2) nor on the broker's deduplication.
//
// If something fails, Publish returns an error per envelope, Receive returns no deliveries while
// the server is unreachable, and Stats counts the failure. Check reports current problems.
package natsbus
