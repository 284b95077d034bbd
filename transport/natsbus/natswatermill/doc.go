// Package natswatermill is Watermill's Publisher and Subscriber on NATS JetStream.
//
//	Publish(topic) ══ asynchronous, all futures waited for ══▶ stream of the topic
//	Subscribe(topic) ◀══ durable pull consumer per group ══ ack, nak with delay
//
// A topic is a subject, and has a stream of its own unless Config.Stream says
// otherwise. A message's UUID is its Nats-Msg-Id, so that the server deduplicates;
// its metadata are headers, percent-encoded as CloudEvents' NATS binding asks: a
// message whose metadata are the attributes of docs/WIRE.md is one that natsbus
// understands, and the other way round.
//
// It is a package of its own so that whoever imports natsbus does not compile
// Watermill, and whoever uses Watermill over another bus does not compile NATS.
//
// Delivery is at least once. Order holds within one subscription while nothing is
// nacked; Config.Ordered keeps it also then, one message of the group at a time.
//
// Failure looks like an error from Publish, a message that comes again, and words
// to the logger while a stream or consumer is recreated. A connection belongs to
// the caller and is never closed here.
package natswatermill
