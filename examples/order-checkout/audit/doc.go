// Package audit compares the databases of the four services with each other.
//
//	order.db ──┐
//	inventory.db ─┤
//	payment.db ───┼─▶ Read ─▶ Books ─▶ Check ─▶ Report ─▶ Print
//	shipping.db ──┤
//	placed.jsonl ─┘
//
// It reads only the services' databases and the list of placed orders. It asks neither the
// coordinator nor the bus, because only the services' data proves that a saga kept its promises.
//
// It checks I2 (every order ends), I3 and I4 (completed steps are undone in reverse order) and
// I5 (one effect per idempotency key), and that no money and no goods were created or lost.
//
// A failure appears in the report as a law with its violations.
package audit
