// Package checkout is what the four services and the saga agree on: the order,
// and the commands that each service offers, with their types.
//
//	definition ──uses──▶ checkout ◀──serve── order, inventory, payment, shipping
//
// It is imported by services, so it imports package contract only. It does not
// say in which order the commands run; package definition does.
//
// Failure looks like an order that Order.Check does not let through.
package checkout
