// Package watermillbus is a transport.Bus on any Watermill publisher and subscriber, such as those
// for Kafka, AMQP and Redis Streams.
//
//	Envelope ── attributes as metadata, data as payload ──▶ message.Publisher
//	Envelope ◀── ack, nack ── message.Subscriber, one per subscription
//
// Several subjects share a topic (see Topic); the metadata ce-subject contains the subject. The
// keys of metadata are the header names in docs/WIRE.md, with unencoded values.
//
// It imports no bus. For NATS alone, natsbus is the better choice; both packages interoperate
// through natswatermill.
//
// Watermill lacks some features. There is no AckWait and no InProgress, so a delivery stays with
// its source until it is acknowledged. There are no requests, and the number of redeliveries is
// unknown. Resets never signals; after the broker has lost messages, timers of coordinator and
// participants send them again (I2). The subscriber determines the order and the number of messages
// in flight.
//
// If something fails, Publish returns errors, or messages are redelivered.
package watermillbus
