// Package pull keeps a bounded buffer filled from one JetStream pull consumer.
//
//	consumer ══ pull requests ══▶ Puller's buffer ──▶ Take (batches)
//	   status: expired, gone, no heartbeat ──▶ ask again, or OnLost
//
// It replaces jetstream.Consumer.Consume for one reason: Consume takes an empty message with a
// forged Status header for a status message of the server, which can end the consumption or make
// it skip the message forever. Here the reply subject, which only the server sets, tells the two
// apart (I9). This package also adds batches, exact bounds and returning buffered messages.
//
// It does not create consumers and does not decode messages. A failure is reported through OnLost,
// repeatedly until the owner has fixed the consumer.
package pull
