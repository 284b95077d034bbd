// Package natswatermill is Watermill's Publisher and Subscriber on NATS JetStream.
//
//	Publish(topic) ══ asynchronous, all futures waited for ══▶ stream of the topic
//	Subscribe(topic) ◀══ durable pull consumer per group ══ ack, nak with delay
//
// A topic is a subject, and has its own stream unless Config.Stream says otherwise. A message's
// UUID is its Nats-Msg-Id, so the server deduplicates. Metadata are headers, percent-encoded as in
// CloudEvents' NATS binding: natsbus understands a message whose metadata are the attributes of
// docs/WIRE.md, and the reverse.
//
// It is its own package so that users of natsbus do not compile Watermill, and users of Watermill
// over another bus do not compile NATS.
//
// Delivery is at least once. Order holds within one subscription while nothing is nacked;
// Config.Ordered keeps the order across nacks too, by delivering one message of the group at a
// time.
//
// Failures are errors from Publish and redelivered messages; the logger reports when a stream or
// consumer is recreated. The connection belongs to the caller and is never closed here.
package natswatermill
