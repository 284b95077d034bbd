// Package bench measures a coordinator with everything that belongs to it: an
// embedded NATS server with file storage, over TCP loopback or in process, the bolt store with
// every commit on disk, participants on the SDK, clients that start sagas and
// wait for their end, all in one process.
//
//	N callers ─start, wait─▶ coordinator ─▶ boltstore (fsync)
//	                            │  ▲
//	                            ▼  │  NATS JetStream
//	                         4 participants (handlers do nothing, inbox in memory)
//
// Right after each run the same messages are carried by plain nats.go code (Bare),
// and a saga written by hand on Watermill and bbolt does the same (HandWritten): the
// ratios hold on a noisy machine.
//
// It does not compare with other systems and asserts nothing: figures on shared
// machines are noisy; quote ratios and counts. Failure looks like an error that
// names the saga that did not end as its mix says.
package bench
