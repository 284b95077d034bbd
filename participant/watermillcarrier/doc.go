// Package watermillcarrier puts a participant into a Watermill router, beside the
// service's other handlers: Kafka, AMQP, Redis Streams and whatever else
// Watermill carries.
//
//	Subscriber ──message──▶ Router ──▶ Handler ──▶ p.Answer ──▶ inbox, handler, commit
//	Publisher  ◀──answer── Router ◀──┘   (the router acknowledges after publishing)
//
// A service that has no router of its own runs the participant on a bus instead
// (participant.Run), which is faster: it answers in batches.
//
//	router.AddHandler("inventory",
//		"saga.command.inventory", subscriber, // all commands of the participant
//		"saga.event", publisher,              // all answers
//		watermillcarrier.Handler(p))
//
// These are the topics of watermillbus, by which the coordinator talks to the same
// broker. On NATS each message has a subject of its own: subscribe to
// saga.command.inventory.>, and wrap the publisher in BySubject.
//
// Delivery is at least once, and the inbox keeps I5. The router's middleware must
// not drop messages it takes for duplicates, and must not retry failures: they
// are answers.
//
// Watermill has no delay after which a message comes again, so an action that this
// process does not know is answered as failed, not final, and the next attempt may find
// a process that does. While processes are replaced, attempts are used up by that:
// deploy them before a definition asks for what is new.
//
// Failure looks like an error from the handler, which has the message come again:
// for ever if nobody can answer it. Put those aside with Watermill's
// PoisonQueueWithFilter and Unanswerable.
package watermillcarrier
