// Package watermillbus is transport.Bus over any Watermill publisher and
// subscriber: Kafka, AMQP, Redis Streams and whatever else Watermill carries.
//
//	Envelope ── attributes as metadata, data as payload ──▶ message.Publisher
//	Envelope ◀── ack, nack ── message.Subscriber, one per subscription
//
// Several subjects share a topic (see Topic); the subject travels as ce-subject.
// The metadata have the names that docs/WIRE.md gives to headers, with plain
// values.
//
// It imports no bus. NATS by itself is better served by natsbus; the two
// understand each other over natswatermill.
//
// What Watermill has no word for is missing: AckWait and InProgress (a delivery
// stays with its source until it is answered), the number of redeliveries,
// requests, and Resets, which never signals: a bus that forgets is healed by the
// timers of the two ends (I2). How much is in flight, and whether there is an
// order, is the subscriber's affair.
//
// Failure looks like an error from Publish and a message that comes again.
package watermillbus
