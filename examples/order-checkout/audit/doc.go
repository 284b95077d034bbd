// Package audit holds the books of the four services against each other.
//
//	order.db ──┐
//	inventory.db ─┤
//	payment.db ───┼─▶ Read ─▶ Books ─▶ Check ─▶ Report ─▶ Print
//	shipping.db ──┤
//	placed.jsonl ─┘
//
// It reads the services' own databases and what the customers have placed. It
// asks neither the coordinator nor the bus: whether a saga has kept its promises
// shows in the books of those it was made to.
//
// What it checks is I2 (every order ends), I3 and I4 (what was done is undone, in
// reverse) and I5 (one effect per idempotency key), and that no money and no goods
// were made or lost.
//
// Failure looks like a law of the report with its violations.
package audit
