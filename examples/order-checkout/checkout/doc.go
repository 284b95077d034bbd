// Package checkout is the contract between the four services and the saga: the order, and the
// commands of each service with their types.
//
//	definition ──uses──▶ checkout ◀──serve── order, inventory, payment, shipping
//
// Services import this package, so contract is the only package of Amends that it imports. Package
// definition defines the sequence of the commands.
//
// A failure is an order that Order.Check refuses.
package checkout
