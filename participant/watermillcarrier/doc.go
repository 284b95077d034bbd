// Package watermillcarrier runs a participant in a Watermill router, beside the service's other
// handlers: on Kafka, AMQP, Redis Streams and everything else that Watermill supports.
//
//	Subscriber ──message──▶ Router ──▶ Handler ──▶ p.Answer ──▶ inbox, handler, commit
//	Publisher  ◀──answer── Router ◀──┘   (the router acknowledges after publishing)
//
// A service without a router of its own should run the participant on a bus instead
// (participant.Run), which is faster because it answers in batches.
//
//	router.AddHandler("inventory",
//		"saga.command.inventory", subscriber, // all commands of the participant
//		"saga.event", publisher,              // all answers
//		watermillcarrier.Handler(p))
//
// These are the topics of watermillbus, through which the coordinator uses the same broker. On NATS
// each message has a subject of its own: subscribe to saga.command.inventory.>, and wrap the
// publisher in BySubject.
//
// Delivery is at least once, and the inbox keeps I5. The router's middleware must not drop
// duplicates, and must not retry failures, because those are answers.
//
// Watermill cannot redeliver after a delay. So a command whose action is unknown here is answered
// as failed but not final; the next attempt may reach a process that knows it. A rolling deployment
// can use up attempts that way: deploy participants before definitions that need their new actions.
//
// A failure shows as an error from the handler, after which the message is redelivered, for ever if
// it cannot be answered. Move such messages away with Watermill's PoisonQueueWithFilter and
// Unanswerable.
package watermillcarrier
