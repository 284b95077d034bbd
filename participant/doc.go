// Package participant is the SDK of a service that takes part in sagas: typed
// handlers for commands, run in the service's own database transaction, so that
// each takes effect at most once however often its command comes.
//
//	bus ──command──▶ Run ──▶ Inbox.Update ─┬─ lock entry (saga, birth, step)
//	                                       ├─ decide: invoke · replay · acknowledge · reject
//	                                       ├─ handler(ctx, tx, request)
//	                                       └─ store entry, commit
//	bus ◀──answer─── publish, then acknowledge
//
// A service declares its commands in a package that the saga's definition shares
// (see contract), then:
//
//	p := participant.New("inventory", sqlinbox.New(db, sqlinbox.SQLite))
//	participant.Handle(p, ReserveStock, reserve)     // func(ctx, *sql.Tx, Reserve) (Reserved, error)
//	participant.HandleUndo(p, ReleaseStock, release) // func(ctx, *sql.Tx, contract.Undo[Reserve, Reserved]) error
//	err := p.Run(ctx, bus)
//
// What it keeps:
//
//   - I5: one effect per idempotency key. A second delivery is answered with what
//     was recorded, never with what was recorded of an earlier saga with the same id; a rejection is kept although its writes are undone; an undo
//     that overtakes its do leaves a tombstone, and the late do is refused.
//   - I1: a command is acknowledged only after the answer was handed to the bus,
//     the answer only after the commit.
//   - I9: what is no command for this participant goes to the dead letters with
//     the reason; a request of the wrong shape is answered as failed for good; an
//     action that has no handler here is handed back for a while, because another
//     process may have one.
//   - I10: handlers at once, commands held and handed back, results and reasons are
//     bounded.
//
// It does not retry: a failure is answered at once, and the definition says when
// the next attempt comes. It does not order commands: the inbox locks a step, and
// different steps run at once. It does not tell an older process from a newer one:
// docs/WIRE.md says what may differ while processes are replaced. It does not make effects outside the transaction
// happen once; for those there is KeyFrom, and UndoUnrecorded.
//
// Failure looks like an answer of type failed with its reason, like an error from
// Run when it cannot run at all, and like a line in the log when an answer cannot
// be published yet.
package participant
