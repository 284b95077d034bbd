// Package watermillcarrier runs a participant in a Watermill router, next to the service's other
// handlers. It works with Kafka, AMQP, Redis Streams and everything else that Watermill supports.
//
//	Subscriber ──message──▶ Router ──▶ Handler ──▶ p.Answer ──▶ inbox, handler, commit
//	Publisher  ◀──answer── Router ◀──┘   (the router acknowledges after publishing)
//
// A service without its own router should run the participant on a bus instead (participant.Run).
// That is faster, because answers are sent in batches.
//
//	router.AddHandler("inventory",
//		"saga.command.inventory", subscriber, // all commands of the participant
//		"saga.event", publisher,              // all answers
//		watermillcarrier.Handler(p))
//
// These are the topics of watermillbus, through which the coordinator uses the same broker. On
// NATS, each message has its own subject. Subscribe to saga.command.inventory.> there, and wrap the
// publisher in BySubject.
//
// Delivery is at least once, and the inbox keeps I5. The router's middleware must not drop
// duplicates. The middleware must not retry failures, because failures are answers.
//
// Watermill cannot redeliver after a delay. A command with an unknown action is therefore answered
// as failed but not final, and the next attempt may reach a process that knows the action. A
// rolling deployment can use up attempts that way. Deploy participants before definitions that need
// their new actions.
//
// If something fails, the handler returns an error and the message is redelivered. A message that
// cannot be answered would be redelivered for ever. Use Watermill's PoisonQueueWithFilter with
// Unanswerable to remove such messages.
package watermillcarrier
