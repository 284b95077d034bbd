// Package participanttest tests participants: Run tries a user's handlers the way
// a bus and its accidents would, RunInbox tests that an Inbox keeps its
// promises.
//
//	Run ──command──▶ p.Answer ──▶ inbox ──▶ handler ──▶ the service's database
//	 └──────────────── Effects: how often is it in place now? ────────┘
//
// Twice, concurrently, the answer lost after the commit, the undo before its do,
// the do after its undo, the undo twice, the undo without a result, a rejection
// that comes again: after each of them, an effect is there once or not at all.
//
//	func TestReserve(t *testing.T) {
//		p := newInventory(t)
//		participanttest.Run(t, participanttest.Step[inventory.Reserve, inventory.Reserved]{
//			Answer:   p.Answer,
//			Do:       inventory.ReserveStock,
//			Undo:     inventory.ReleaseStock,
//			Request:  func() inventory.Reserve { return inventory.Reserve{Order: uuid.NewString(), Quantity: 1} },
//			Rejected: func() inventory.Reserve { return inventory.Reserve{Order: uuid.NewString(), Quantity: 1e6} },
//			Effects:  func(t testing.TB, r inventory.Reserve) int { return reservations(t, r.Order) },
//		})
//	}
//
// It needs no bus: what Run of a participant adds to Answer is tested with the
// SDK. It does not test what the handler does, only how often.
//
// Failure looks like a failed subtest that says what came, what was expected, and
// which mistake in a handler usually causes it.
package participanttest
