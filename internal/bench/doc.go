// Package bench measures a coordinator as a complete system in one process. The system has an
// embedded NATS server with file storage, over TCP loopback or in process, and the bolt store with
// every commit on disk. Participants use the SDK, and clients start sagas and wait for their end.
//
//	N callers ─start, wait─▶ coordinator ─▶ boltstore (fsync)
//	                            │  ▲
//	                            ▼  │  NATS JetStream
//	                         4 participants (handlers do nothing, inbox in memory)
//
// Right after each run, plain nats.go code carries the same messages (Bare), and then a
// hand-written saga on Watermill and bbolt does (HandWritten). The ratios to these baselines are
// valid even on a noisy machine.
//
// Package bench does not compare with other systems and asserts nothing: figures on shared machines
// are noisy, so quote ratios and counts. A failure is an error that names the saga that did not end
// as its mix requires.
package bench
