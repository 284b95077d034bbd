// Package checkout is the contract between the four services and the saga: the order, and the
// commands of each service with their types.
//
//	definition ──uses──▶ checkout ◀──serve── order, inventory, payment, shipping
//
// Services import it, so of Amends it imports only package contract. The order of the commands
// is in package definition.
//
// A failure is an order that Order.Check refuses.
package checkout
