// Package pull keeps a bounded buffer filled from one JetStream pull consumer.
//
//	consumer ══ pull requests ══▶ Puller's buffer ──▶ Take (batches)
//	   status: expired, gone, no heartbeat ──▶ ask again, or OnLost
//
// It replaces jetstream.Consumer.Consume for one reason. Consume treats an empty message with a
// forged Status header as a status message of the server, which can end the consumption or skip the
// message for ever. This package distinguishes the two by the reply subject, which only the server
// sets (I9). It also adds batches, exact bounds, and the return of buffered messages to the server.
//
// It does not create consumers and does not decode messages. It reports a failure through OnLost,
// repeatedly until the owner has recreated the consumer.
package pull
