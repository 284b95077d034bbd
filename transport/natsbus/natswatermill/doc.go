// Package natswatermill implements Watermill's Publisher and Subscriber on NATS JetStream.
//
//	Publish(topic) ══ asynchronous, all futures waited for ══▶ stream of the topic
//	Subscribe(topic) ◀══ durable pull consumer per group ══ ack, nak with delay
//
// A topic is a subject. Each topic has its own stream, unless Config.Stream names another stream. A
// message's UUID is its Nats-Msg-Id, so the server deduplicates. Metadata are headers,
// percent-encoded as in CloudEvents' NATS binding. A message whose metadata are the attributes of
// docs/WIRE.md can be exchanged with natsbus in both directions.
//
// It is a separate package so that users of natsbus do not compile Watermill, and users of
// Watermill with another bus do not compile NATS.
//
// Delivery is at least once. A subscription keeps the order as long as no message is nacked.
// Config.Ordered keeps the order even then, with one message of the group in flight at a time.
//
// Publish returns errors; failed deliveries are redelivered. The logger reports when a stream or
// consumer is recreated. The caller owns the connection; this package never closes it.
package natswatermill
