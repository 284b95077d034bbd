// Package participanttest tests participants. Run calls a service's handlers with the duplicates,
// losses and reorderings that a bus may cause. RunInbox is the conformance suite for inboxes.
//
//	Run ──command──▶ p.Answer ──▶ inbox ──▶ handler ──▶ the service's database
//	 └──────────────── Effects: how often is the effect in place now? ──┘
//
// A command is delivered twice, concurrently, or again after its answer was lost or was a
// rejection. The undo arrives before its do, the do arrives after its undo, or the undo arrives
// twice or without a result. After each case the effect is in place once or not at all.
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
// The package needs no bus, because tests of the SDK cover what participant.Run adds to Answer. The
// package does not test what a handler does, only how often the handler takes effect.
//
// A failed subtest reports the received and the expected value, and the usual mistake in a handler
// that causes the difference.
package participanttest
