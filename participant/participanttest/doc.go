// Package participanttest tests participants. Run calls a service's handlers with the duplicates,
// losses and reorderings that a bus may cause; RunInbox is the conformance suite for inboxes.
//
//	Run ──command──▶ p.Answer ──▶ inbox ──▶ handler ──▶ the service's database
//	 └──────────────── Effects: how often is the effect in place now? ──┘
//
// The cases are: delivered twice or concurrently, the answer lost after the commit, the undo before
// its do, the do after its undo, the undo twice or without a result, and a rejected command
// delivered again. After each of them the effect is in place once or not at all.
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
// It needs no bus, because what participant.Run adds to Answer is tested in the SDK. It does not
// test what the handler does, only how often.
//
// A failure shows as a failed subtest that says what was received, what was expected, and which
// mistake in a handler usually causes it.
package participanttest
