// Package participant is the SDK for services that take part in sagas. For each command, it calls a
// typed handler in a transaction of the service's own database. Each command takes effect at most
// once, however often it is delivered.
//
//	bus ──command──▶ Run ──▶ Inbox.Update ─┬─ lock entry (saga, birth, step)
//	                                       ├─ decide: invoke · replay · acknowledge · reject
//	                                       ├─ handler(ctx, tx, request)
//	                                       └─ store entry, commit
//	bus ◀──answer─── publish, then acknowledge
//
// A service declares its commands in a package that it shares with the saga's definition (see
// contract). Then it registers its handlers:
//
//	p := participant.New("inventory", sqlinbox.New(db, sqlinbox.SQLite))
//	participant.Handle(p, ReserveStock, reserve)     // func(ctx, *sql.Tx, Reserve) (Reserved, error)
//	participant.HandleUndo(p, ReleaseStock, release) // func(ctx, *sql.Tx, contract.Undo[Reserve, Reserved]) error
//	err := p.Run(ctx, bus)
//
// Guarantees:
//
//   - I5: one effect per idempotency key. A redelivered command gets the recorded answer. A
//     rejection is recorded although the handler's writes are rolled back. An undo that overtakes
//     its do leaves a tombstone, and the late do is rejected. A later saga with the same id has
//     its own records.
//   - I1: a command is acknowledged only after its answer was handed to the bus, and the answer
//     is sent only after the commit.
//   - I9: a message that is not a command for this participant is dead-lettered with the reason;
//     a malformed request is answered as a final failure; a command whose action has no handler
//     here is handed back for a while, because another process may have one.
//   - I10: concurrent handlers, held and handed-back commands, results and reasons are bounded.
//
// It does not retry: a failure is sent at once, and the definition determines the next attempt. It
// does not order commands: the inbox locks one step, and different steps run concurrently. It does
// not distinguish old and new processes: docs/WIRE.md lists the differences that are allowed during
// a rolling deployment. It does not deduplicate effects outside the transaction; see KeyFrom and
// UndoUnrecorded for those.
//
// If a handler fails, the answer has type failed and a reason. If the participant cannot run, Run
// returns an error. If an answer cannot be published yet, a line is logged.
package participant
