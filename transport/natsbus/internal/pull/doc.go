// Package pull keeps a bounded buffer filled from one JetStream pull consumer.
//
//	consumer ══ pull requests ══▶ Puller's buffer ──▶ Take (batches)
//	   status: expired, gone, no heartbeat ──▶ ask again, or OnLost
//
// It stands where jetstream.Consumer.Consume could stand, for one reason: there,
// an empty message with a Status header that its sender made up is taken for a
// word of the server, which can end the consumption or make it skip the message
// for ever. Here a message is told from a word of the server by its reply subject,
// which only the server sets (I9). Batches, exact bounds and returning what was
// not taken come with it.
//
// It does not create consumers and does not decode messages. Failure looks like
// OnLost, again and again until the owner has fixed the consumer.
package pull
