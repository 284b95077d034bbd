// Package watermillbus is transport.Bus over any Watermill publisher and
// subscriber: Kafka, AMQP, Redis Streams and whatever else Watermill carries.
//
//	Envelope ── attributes as metadata, data as payload ──▶ message.Publisher
//	Envelope ◀── ack, nack ── message.Subscriber, one per subscription
//
// Several subjects share a topic (see Topic); the subject is sent as ce-subject. Metadata have the
// names that docs/WIRE.md gives to headers, with plain values.
//
// It imports no bus. NATS alone is better served by natsbus; the two interoperate over
// natswatermill.
//
// Features that Watermill does not have are missing: AckWait and InProgress (a delivery stays with
// its source until it is answered), the number of redeliveries, requests, and Resets, which never
// signals: after a bus has lost messages, timers of coordinator and participants send them again
// (I2). The subscriber determines how many messages are in flight and whether they are ordered.
//
// Failures are errors from Publish and redelivered messages.
package watermillbus
