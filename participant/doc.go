// Package participant is the SDK for services that take part in sagas: typed handlers for commands
// that run in the service's own database transaction, so that each command takes effect at most
// once, however often it is delivered.
//
//	bus ──command──▶ Run ──▶ Inbox.Update ─┬─ lock entry (saga, birth, step)
//	                                       ├─ decide: invoke · replay · acknowledge · reject
//	                                       ├─ handler(ctx, tx, request)
//	                                       └─ store entry, commit
//	bus ◀──answer─── publish, then acknowledge
//
// A service declares its commands in a package shared with the saga's definition (see contract),
// then:
//
//	p := participant.New("inventory", sqlinbox.New(db, sqlinbox.SQLite))
//	participant.Handle(p, ReserveStock, reserve)     // func(ctx, *sql.Tx, Reserve) (Reserved, error)
//	participant.HandleUndo(p, ReleaseStock, release) // func(ctx, *sql.Tx, contract.Undo[Reserve, Reserved]) error
//	err := p.Run(ctx, bus)
//
// What it keeps:
//
//   - I5: one effect per idempotency key. A redelivery is answered with what was recorded. A
//     rejection is kept although its writes are rolled back. An undo that overtakes its do leaves
//     a tombstone, and the late do is rejected. A later saga with the same id has its own records.
//   - I1: a command is acknowledged only after its answer was handed to the bus, and the answer
//     is sent only after the commit.
//   - I9: a message that is not a command for this participant is dead-lettered with the reason;
//     a malformed request is answered as a final failure; a command whose action has no handler
//     here is handed back for a while, because another process may have one.
//   - I10: concurrent handlers, held and handed-back commands, results and reasons are bounded.
//
// It does not retry: a failure is answered at once, and the definition determines the next attempt.
// It does not order commands: the inbox locks one step, and different steps run concurrently. It
// does not distinguish older and newer processes: docs/WIRE.md says what may differ during a
// rolling deployment. It does not make effects outside the transaction happen once; see KeyFrom and
// UndoUnrecorded for those.
//
// A failure shows as an answer of type failed with its reason, as an error from Run if it cannot
// run at all, and as a log line if an answer cannot be published yet.
package participant
